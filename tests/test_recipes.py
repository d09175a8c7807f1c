"""Each recipe against a miniature of the folder that its comment asks for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pictures import draw_photo
from typika import config as settings
from typika.collection.images import ImageCollection
from typika.diffusion.stable import StableConfig
from typika.mining.patches import patch_side
from typika.workflow import MineConfig, configure

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
NAMES = ("cars", "faces", "geo", "places", "xrays")


@dataclass(frozen=True)
class Opened:
    """A recipe, and the miniature that it opened."""

    config: MineConfig
    collection: ImageCollection

    def column(self, name: str) -> list:
        return self.collection.table[name].to_pylist()

    def prompts(self) -> list[str]:
        template = self.config.prompt.template()
        return [template.text(label) for label in self.collection.labels]

    def counts(self, split: str) -> dict[str, int]:
        """Rows of each label that are in a split."""
        rows = self.collection.select(self.collection.in_split(split))
        return dict(Counter(rows.table["label"].to_pylist()))


def values_of(name: str) -> dict:
    return settings.read_toml(RECIPES / f"{name}.toml")


def comment_of(name: str) -> str:
    """The comment that a recipe opens with."""
    lines = (RECIPES / f"{name}.toml").read_text(encoding="utf-8").splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[:end])


def opened(name: str, root: Path) -> Opened:
    config = configure(values_of(name))
    return Opened(config, config.collection.open(root, 2))


def photos(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        draw_photo(root / name, number % 2, number)


def run_script_of(name: str, root: Path) -> None:
    """Run the Python that a recipe's comment gives for writing the table."""
    (script,) = re.findall(r"```python\n(.*?)```", comment_of(name), flags=re.DOTALL)
    subprocess.run([sys.executable, "-c", script], cwd=root, check=True)


# All of them ----------------------------------------------------------------------------------


def test_there_is_a_test_for_every_recipe():
    assert sorted(path.stem for path in RECIPES.glob("*.toml")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_comment_says_what_a_reader_needs(name):
    comment = comment_of(name)
    assert re.search(rf"^Command  typika mine \w+ --recipe recipes/{name}\.toml$", comment, re.M)
    for part in ("Data", "Where", "Licence", "Layout", "Beside the paper"):
        assert re.search(rf"^{part}\b", comment, re.M), part


@pytest.mark.parametrize(
    ("name", "resolution", "patch"),
    [("cars", 256, 50), ("faces", 256, 50), ("geo", 512, 64), ("places", 512, 64),
     ("xrays", 512, 64)],
)  # fmt: skip
def test_patches_have_the_published_size(name, resolution, patch):
    values = values_of(name)
    assert values["model"]["resolution"] == resolution
    for width in (resolution, 2 * resolution):
        assert patch_side(resolution, width, values["select"]["patch_size"]) == patch


@pytest.mark.parametrize("name", NAMES)
def test_values_as_published(name):
    values = values_of(name)
    model, select = values["model"], values["select"]
    assert model["kind"] == "stable-diffusion"
    assert model["finetune"] == "full"
    assert model["null_share"] == 0.1
    assert model["t_range"] == ([0.0, 1.0] if name == "xrays" else [0.1, 0.7])
    assert model.get("nested_share") == (0.1 if name == "geo" else None)
    assert select["per_image"] == 5
    assert (select["share"], select["at_most"]) == (0.2 if name == "places" else 1.0, 1000)
    config = configure(values)
    assert isinstance(config.model, StableConfig)
    assert (config.score.n_draws, config.score.design) == (32, "importance")


@pytest.mark.parametrize("name", NAMES)
def test_the_published_settings_go_under_a_recipe(name):
    config = configure(values_of(name), preset="paper")
    assert (config.score.n_draws, config.score.design) == (100, "independent")
    assert (config.cluster.method, config.cluster.pooling) == ("published", "mean")
    assert config.model.posterior == "sample"
    assert config.model.resolution == values_of(name)["model"]["resolution"]


# Cars -----------------------------------------------------------------------------------------


def test_cars(tmp_path):
    years = (1920, 1929, 1950, 1957, 1999, 1990, 1925, 1951)
    photos(tmp_path, *(f"images/{i:05d}.jpg" for i in range(len(years))))
    lines = [
        f"images/{i:05d}.jpg,{year},{'train' if i < 6 else 'test'}" for i, year in enumerate(years)
    ]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,year,split", *lines]))
    cars = opened("cars", tmp_path)
    assert cars.collection.skipped == ()
    assert cars.collection.labels == ("1920", "1950", "1990")
    assert cars.prompts() == [
        "A car from the 1920s.", "A car from the 1950s.", "A car from the 1990s.",
    ]  # fmt: skip
    assert cars.config.prompt.template().null_text == "A car."
    assert cars.counts(cars.config.collection.train_on) == {"1920": 2, "1950": 2, "1990": 2}
    assert cars.counts(cars.config.collection.mine) == {"1920": 2, "1950": 2, "1990": 2}
    assert cars.counts("") == {"1920": 3, "1950": 3, "1990": 2}


# Faces ----------------------------------------------------------------------------------------


def test_faces(tmp_path):
    photos(tmp_path, "1880/a.jpg", "1880/b.jpg", "1890/a.jpg", "2010/x/a.jpg", "2010/x/b.jpg")
    faces = opened("faces", tmp_path)
    assert faces.collection.skipped == ()
    assert faces.collection.labels == ("1880", "1890", "2010")
    assert faces.prompts() == [
        "A portrait from the 1880s.",
        "A portrait from the 1890s.",
        "A portrait from the 2010s.",
    ]
    assert faces.config.prompt.template().null_text == "A portrait."
    assert faces.counts(faces.config.collection.train_on) == {"1880": 2, "1890": 1, "2010": 2}
    assert faces.counts(faces.config.collection.mine) == {"1880": 2, "1890": 1, "2010": 2}


# Geo ------------------------------------------------------------------------------------------

PANORAMAS = {
    "train/aa_bb-1": "Japan",
    "train/cc_dd": "France",
    "val/ee": "Japan",
    "test/_f": "India",
}


@pytest.fixture
def streets(tmp_path) -> Path:
    """Four panoramas of three countries, four views each, as the release's scripts leave them."""
    views = [f"{name}_{view}" for name in PANORAMAS for view in range(4)]
    photos(tmp_path, *(f"{view.replace('/', '/images/')}.png" for view in views))
    for part in ("train", "val", "test"):
        countries = {
            f"{name.removeprefix(f'{part}/')}_{view}.png": [country]
            for name, country in PANORAMAS.items()
            if name.startswith(part)
            for view in range(4)
        }
        countries["elsewhere_0.png"] = ["Peru"]
        mapping = tmp_path / part / "label_mapping" / "countries_names.json"
        mapping.parent.mkdir()
        mapping.write_text(json.dumps(countries))
    run_script_of("geo", tmp_path)
    return tmp_path


def test_geo(streets):
    geo = opened("geo", streets)
    assert geo.collection.skipped == ()
    assert geo.collection.labels == ("France", "India", "Japan")
    assert geo.prompts() == [
        "A Google streetview image of France.",
        "A Google streetview image of India.",
        "A Google streetview image of Japan.",
    ]
    assert geo.config.prompt.template().null_text == "A Google streetview image."
    groups = geo.column("group")
    assert Counter(groups) == {"aa_bb-1": 4, "cc_dd": 4, "ee": 4, "_f": 4}
    for name, group in zip(geo.column("file_name"), groups, strict=True):
        assert Path(name).name.startswith(f"{group}_")
    first, second = geo.collection.split_halves(0)
    assert not {groups[row] for row in first} & {groups[row] for row in second}


def test_geo_trains_on_all_views_and_mines_a_thousand_of_each_country(streets):
    geo = opened("geo", streets)
    assert geo.counts(geo.config.collection.train_on) == {"France": 4, "India": 4, "Japan": 8}
    assert geo.counts(geo.config.collection.mine) == {"France": 4, "India": 4, "Japan": 8}
    table = streets / "metadata.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:-1], lines[-1].replace("mined", "train")]))
    fewer = opened("geo", streets)
    assert sum(fewer.counts(fewer.config.collection.train_on).values()) == 16
    assert sum(fewer.counts(fewer.config.collection.mine).values()) == 15


def test_geo_nests_the_region_where_it_is_known(streets):
    table = streets / "metadata.csv"
    table.write_text(table.read_text().replace(",Japan,,", ",Japan,Kansai,"))
    geo = opened("geo", streets)
    template = geo.config.prompt.template()
    template.require_columns(geo.collection.table.column_names)
    nested = {
        (row["label"], *template.nested_texts(row["label"], row))
        for row in geo.collection.table.select(["label", "region"]).to_pylist()
    }
    japan = "A Google streetview image of Japan, at the region of Kansai."
    assert nested == {("France",), ("India",), ("Japan", japan)}


# Places ---------------------------------------------------------------------------------------


@pytest.fixture
def scenes(tmp_path) -> Path:
    """Three kinds of scene, two training images and one for validation of each."""
    scenes = ("a/airfield", "a/apartment_building/outdoor", "b/beer_garden")
    train = [f"{scene}/0000000{i}.jpg" for scene in scenes for i in (1, 2)]
    val = [f"Places365_val_0000000{i}.jpg" for i in (1, 2, 3)]
    photos(tmp_path, *(f"data_large/{n}" for n in train), *(f"val_large/{n}" for n in val))
    listed = {
        "categories_places365.txt": [f"/{scene} {i}" for i, scene in enumerate(scenes)],
        "places365_train_standard.txt": [f"/{n} {i // 2}" for i, n in enumerate(train)],
        "places365_val.txt": [f"{n} {2 - i}" for i, n in enumerate(val)],
    }
    for name, lines in listed.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    run_script_of("places", tmp_path)
    return tmp_path


def test_places(scenes):
    places = opened("places", scenes)
    assert places.collection.skipped == ()
    assert places.collection.labels == ("airfield", "apartment_building/outdoor", "beer_garden")
    assert places.prompts() == [
        "An image of airfield.",
        "An image of apartment building outdoor.",
        "An image of beer garden.",
    ]
    assert places.config.prompt.template().null_text == ""
    collection = places.config.collection
    assert set(places.counts(collection.train_on).values()) == {2}
    assert set(places.counts(collection.mine).values()) == {1}
    labels = dict(zip(places.column("file_name"), places.column("label"), strict=True))
    assert labels["val_large/Places365_val_00000001.jpg"] == "beer_garden"
    assert labels["data_large/a/apartment_building/outdoor/00000002.jpg"] == (
        "apartment_building/outdoor"
    )


# X-rays ---------------------------------------------------------------------------------------

# The header of the release, whose commas inside brackets and at the end make columns of their own.
ENTRIES = """\
Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,\
OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],
00000001_000.png,Cardiomegaly,0,1,058Y,M,PA,2682,2749,0.143,0.143,
00000001_001.png,Cardiomegaly|Emphysema,1,1,058Y,M,PA,2894,2729,0.143,0.143,
00000002_000.png,No Finding,0,2,081Y,M,PA,2500,2048,0.171,0.171,
00000003_000.png,Mass|Pleural_Thickening|Emphysema,0,3,081Y,F,PA,2582,2991,0.143,0.143,
00000003_001.png,No Finding,1,3,074Y,F,PA,2500,2048,0.168,0.168,
"""


@pytest.fixture(params=["images", "images_00{}/images"])
def hospital(tmp_path, request) -> Path:
    """Five X-rays of three patients, in one folder or in one for each archive."""
    names = re.findall(r"^\d+_\d+\.png", ENTRIES, re.M)
    photos(tmp_path, *(f"{request.param.format(i // 2 + 1)}/{n}" for i, n in enumerate(names)))
    (tmp_path / "Data_Entry_2017.csv").write_text(ENTRIES)
    (tmp_path / "BBox_List_2017.csv").write_text("Image Index,Finding Label,Bbox [x,y,w,h],,,\n")
    (tmp_path / "train_val_list.txt").write_text("\n".join(names[:3]) + "\n")
    (tmp_path / "test_list.txt").write_text("\n".join(names[3:]))
    return tmp_path


def test_xrays(hospital):
    xrays = opened("xrays", hospital)
    assert xrays.collection.skipped == ()
    assert xrays.prompts() == [
        "Chest X-Ray with Cardiomegaly.",
        "Chest X-Ray with Emphysema.",
        "Chest X-Ray with Mass.",
        "Chest X-Ray with No Finding.",
        "Chest X-Ray with Pleural Thickening.",
    ]
    assert xrays.config.prompt.template().null_text == "Chest X-Ray."
    collection = xrays.config.collection
    assert xrays.counts(collection.train_on) == {
        "Cardiomegaly": 2,
        "Emphysema": 1,
        "No Finding": 1,
    }
    assert xrays.counts(collection.mine) == {
        "Mass": 1, "Pleural_Thickening": 1, "Emphysema": 1, "No Finding": 1,
    }  # fmt: skip
    assert Counter(xrays.column("group")) == {"1": 3, "2": 1, "3": 4}
    assert all(xrays.collection.in_split("train") != xrays.collection.in_split("test"))
    groups = np.array(xrays.column("group"))
    for seed in range(3):
        first, second = xrays.collection.split_halves(seed)
        assert not set(groups[first]) & set(groups[second])


def test_xrays_survive_saving(hospital, tmp_path):
    xrays = opened("xrays", hospital)
    xrays.collection.save(tmp_path / "saved")
    again = ImageCollection.restore(tmp_path / "saved", hospital)
    assert again == xrays.collection
    assert again.digest == xrays.collection.digest
