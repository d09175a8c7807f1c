"""Settings of the pipeline that decide which images serve for what."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from pictures import draw_photo
from typika import config as settings
from typika.errors import ConfigError
from typika.mining.pipeline import CollectionConfig, Mining, MiningConfig, training_images
from typika.run import Run
from typika.workflow import MineConfig, check


@pytest.fixture
def panoramas(tmp_path: Path) -> Path:
    """Two labels of twelve panoramas, two views each; the last of each label is for testing."""
    root = tmp_path / "panoramas"
    lines = ["view,kind,panorama,region"]
    for number in range(48):
        draw_photo(root / "views" / f"{number:02d}.jpg", number % 2, number)
        region = "north" if number < 24 else ""
        lines.append(f"{number:02d}.jpg,{'ab'[number % 2]},{number % 2}-{number // 4},{region}")
    (root / "views.csv").write_text("\n".join(lines) + "\n")
    (root / "test.txt").write_text("46.jpg\n47.jpg\n")
    return root


VALUES = {
    "table": "views.csv",
    "file": "view",
    "label": "kind",
    "group": "panorama",
    "split_lists": ["test=test.txt"],
}


def test_held_out_images_hold_whole_groups(panoramas):
    for seed in range(3):
        config = settings.build(MiningConfig, {"seed": seed, "collection": VALUES})
        collection = config.collection.open(panoramas, 2)
        assert collection.skipped == ()
        trained_on = training_images(collection, config)
        groups = np.array(collection.table["group"].to_pylist())
        assert len(set(groups)) == 24
        held_out = set(groups[~trained_on])
        assert len(held_out) == 4
        assert not held_out & set(groups[trained_on])


def test_the_splits_to_train_on_and_to_mine_must_have_images(panoramas):
    for option in ("train_on", "mine"):
        values = {"collection": VALUES | {option: "tset"}}
        config = settings.build(MineConfig, values)
        for attempt in (
            lambda config=config: config.collection.open(panoramas, 2),
            lambda config=config: check(panoramas, config, 1),
        ):
            with pytest.raises(ConfigError, match=rf"collection\.{option}: .*'tset'.*test \(2\)"):
                attempt()
    config = settings.build(MineConfig, {"collection": VALUES | {"mine": "test"}})
    assert config.collection.open(panoramas, 2).in_split("test").sum() == 2


def collect(source: Path, folder: Path, values: dict) -> str:
    config = settings.build(MiningConfig, values)
    with Run.create(folder, config, facts={"source": str(source)}, overwrite=True) as run:
        Mining(run, source, config, 1).advance_to("collect")
        return run.output_digest("collect")


def test_collecting_knows_its_causes(panoramas, tmp_path):
    folder = tmp_path / "run"
    first = collect(panoramas, folder, {"collection": VALUES})
    assert collect(panoramas, folder, {"collection": VALUES}) == first
    (panoramas / "test.txt").write_text("45.jpg\n46.jpg\n")
    second = collect(panoramas, folder, {"collection": VALUES})
    third = collect(panoramas, folder, {"collection": VALUES | {"group": "region"}})
    assert len({first, second, third}) == 3
    with pytest.raises(ConfigError, match="'val'"):
        collect(panoramas, folder, {"collection": VALUES | {"mine": "val"}})


def test_nested_prompts_are_checked_when_collecting(panoramas, tmp_path):
    for name, known in (("region", True), ("city", False)):
        values = {"collection": VALUES, "prompt": {"nested": [f"{{label}} in {{{name}}}."]}}
        if known:
            collect(panoramas, tmp_path / "run", values)
            continue
        with pytest.raises(ConfigError, match=r"\{city\}.*region"):
            collect(panoramas, tmp_path / "run", values)
        with pytest.raises(ConfigError, match=r"\{city\}.*region"):
            check(panoramas, settings.build(MineConfig, values), 1)


def test_settings_survive_toml():
    values = {
        "collection": VALUES | {"separator": "|", "train_on": "train", "mine": "test"},
        "prompt": {"label": "{label}", "spaces": "_/", "nested": ["{label} in {city}"]},
    }
    config = settings.build(MiningConfig, values)
    again = settings.build(MiningConfig, tomllib.loads(settings.as_toml(config)))
    assert again == config
    assert config.collection.split_lists == ("test=test.txt",)
    assert config.prompt.template().text("a_b/c") == "a b c"


def test_settings_are_checked_when_they_are_made():
    for bad in ({"table": "../x.csv"}, {"separator": ""}, {"split_lists": ("x",)}):
        with pytest.raises(ConfigError):
            CollectionConfig(**bad)
