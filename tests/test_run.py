from __future__ import annotations

import json
from pathlib import Path

import pytest

from typika.errors import ConfigError, TypikaError
from typika.mining.clusters import ClusterConfig
from typika.run import Run, Stage


def stage(cause: int = 1) -> Stage:
    return Stage(name="write", causes={"cause": cause}, outputs=("out.txt",))


def write(run: Run, text: str, calls: list[str]) -> None:
    def compute() -> None:
        calls.append(text)
        run.path("out.txt").write_text(text)

    run.stage(stage(), compute)


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    calls: list[str] = []
    for text in ("first", "second"):
        with Run.create(tmp_path / "run", ClusterConfig(), facts={}) as run:
            write(run, text, calls)
    assert calls == ["first"]


@pytest.mark.parametrize("damage", ["changed", None])
def test_a_stage_whose_file_was_changed_or_lost_runs_again(
    tmp_path: Path, damage: str | None
) -> None:
    calls: list[str] = []
    with Run.create(tmp_path / "run", ClusterConfig(), facts={}) as run:
        write(run, "first", calls)
        if damage is None:
            run.path("out.txt").unlink()
        else:
            run.path("out.txt").write_text(damage)
        write(run, "second", calls)
    assert calls == ["first", "second"]


def test_another_cause_clears_and_runs_again(tmp_path: Path) -> None:
    seen: list[bool] = []
    with Run.create(tmp_path / "run", ClusterConfig(), facts={}) as run:

        def compute() -> None:
            seen.append(run.path("out.txt").exists())
            run.path("out.txt").write_text("text")

        run.stage(stage(1), compute)
        run.stage(stage(2), compute)
    assert seen == [False, False]


def test_an_interrupted_stage_keeps_its_parts(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", ClusterConfig(), facts={}) as run:

        def interrupted() -> None:
            run.path("out.txt").write_text("half")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run.stage(stage(), interrupted)
        kept: list[str] = []
        run.stage(stage(), lambda: kept.append(run.path("out.txt").read_text()))
    assert kept == ["half"]


def test_a_run_in_which_nothing_was_made_takes_another_configuration(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", ClusterConfig(), facts={}):
        pass
    with Run.create(tmp_path / "run", ClusterConfig(n_clusters=7), facts={}) as run:
        assert run.manifest["config"]["n_clusters"] == 7


def test_another_configuration_is_refused_with_the_difference(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", ClusterConfig(), facts={}) as run:
        run.stage(stage(), lambda: run.path("out.txt").write_text("made"))
    other = ClusterConfig(n_clusters=7)
    with (
        pytest.raises(ConfigError, match=r"n_clusters: 32 there, 7 now"),
        Run.create(tmp_path / "run", other, facts={}),
    ):
        pass
    with Run.create(tmp_path / "run", other, facts={}, overwrite=True) as run:
        assert run.manifest["config"]["n_clusters"] == 7


def test_somebody_elses_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("do not touch")
    with (
        pytest.raises(ConfigError, match=r"holds thesis\.doc but no run\.json"),
        Run.create(tmp_path, ClusterConfig(), facts={}),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with (
        Run.create(tmp_path / "run", ClusterConfig(), facts={}),
        pytest.raises(ConfigError, match="another typika process"),
        Run.create(tmp_path / "run", ClusterConfig(), facts={}),
    ):
        pass


def test_a_full_disk_is_told_plainly(tmp_path: Path) -> None:
    with (
        pytest.raises(TypikaError, match="the disk is full"),
        Run.create(tmp_path / "run", ClusterConfig(), facts={}),
    ):
        raise OSError(28, "No space left on device")


def test_reading_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no run\.json"):
        Run.read(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps([1]))
    with pytest.raises(ConfigError, match="not a manifest"):
        Run.read(tmp_path)


def test_a_run_is_opened_again_under_its_own_settings(tmp_path: Path) -> None:
    calls: list[str] = []
    with Run.create(tmp_path / "run", ClusterConfig(), facts={"source": "here"}) as run:
        write(run, "first", calls)
    path = tmp_path / "run" / "run.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    del manifest["config"]["pooling"]  # made before this setting was there
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with Run.reopen(tmp_path / "run") as again:
        assert again.manifest["config"] == manifest["config"]
        assert again.manifest["source"] == "here"
        assert again.finished("write")
        assert not again.finished("more")
        write(again, "second", calls)
        again.stage(Stage(name="more", causes={}, outputs=()), lambda: calls.append("more"))
    assert calls == ["first", "more"]
    assert Run.read(tmp_path / "run").finished("more")


def test_a_run_that_is_in_use_or_not_there_is_not_opened_again(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no run\.json"), Run.reopen(tmp_path / "run"):
        pass
    assert not (tmp_path / "run").exists()
    refused = pytest.raises(ConfigError, match="another typika process")
    with Run.create(tmp_path / "run", ClusterConfig(), facts={}), refused:
        Run.reopen(tmp_path / "run").__enter__()
