"""The demo collection: rendered postcards from four invented towns, with the truth as boxes.

Everything in a postcard (weather, houses, people, cars) is drawn from the same distributions in
every town, except for three *planted* kinds of element a town, which are what a miner should
find, and one planted *artefact*, the dark edge of a scanner's lid, which it should find and call
an artefact. Each planted element has neutral counterparts that stand in all the towns: every town
has lamp posts, only Almorin's carry two globes.

```
truth = render_demo(Path("postcards"))
collection = ...  # the folder postcards/ is a class-folder collection: postcards/<town>/<n>.jpg
```
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from typika.collection._elements import FAMILIES
from typika.collection._townscape import Rng, compose, paint, plant
from typika.errors import ConfigError, DataError
from typika.files import sweep, whole_file, write_text
from typika.parallel import run_tasks

ELEMENT_KINDS: dict[str, tuple[str, ...]] = {
    town: tuple(family.kind for family in FAMILIES.values() if family.town == town)
    for town in sorted({family.town for family in FAMILIES.values()})
}  # label -> the planted kinds that stand under this label only

ARTEFACT_KIND = "artefact:scanner edge"
ARTEFACT_LABEL = "Dovelle"
ARTEFACT_SHARE = 0.6  # fraction of that label's images

MIN_VISIBLE = 0.6  # an element hidden or cut off beyond this is not in the truth
JPEG_QUALITY = 92
TRUTH_NAME = "truth.csv"
STATE_NAME = "demo.json"
RENDERING = 1  # to be raised whenever the same arguments would give other pixels

_BATCH = 25  # images that one process renders in one go
_LABELS = tuple(ELEMENT_KINDS)


@dataclass(frozen=True)
class DemoElement:
    """One planted element or artefact, as far as it is visible."""

    file_name: str  # relative to the collection's folder, with forward slashes
    label: str
    kind: str  # one of ELEMENT_KINDS[label], or ARTEFACT_KIND
    left: int  # pixels, as the other three; right and bottom are exclusive
    top: int
    right: int
    bottom: int

    @property
    def is_artefact(self) -> bool:
        """Whether this is a flaw of the scan rather than a part of the town."""
        return self.kind.startswith("artefact:")


@dataclass(frozen=True)
class DemoTruth:
    """What was planted where in the collection in `folder`."""

    folder: Path
    elements: tuple[DemoElement, ...]  # by file name; artefacts included

    @property
    def path(self) -> Path:
        """The table of all elements."""
        return self.folder / TRUTH_NAME


@dataclass(frozen=True)
class _Settings:
    """All that the pixels depend on."""

    n_per_label: int
    size: int  # pixels
    seed: int
    rendering: int = RENDERING

    def __post_init__(self) -> None:
        if self.n_per_label < 1:
            raise ConfigError(f"n_per_label={self.n_per_label}: need at least 1 image per label")
        if not 64 <= self.size <= 2048:
            raise ConfigError(f"size={self.size}: need 64 to 2048 pixels")
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed}: need a whole number from 0 up")


def render_demo(
    folder: Path, *, n_per_label: int = 250, size: int = 256, seed: int = 0, workers: int = 2
) -> DemoTruth:
    """Render the demo collection into `folder` as `<label>/<number>.jpg`, and its truth.

    Each of the four labels gets `n_per_label` square images of `size` pixels. An image depends on
    (seed, label, number) alone, whatever `workers`, the number of processes. A finished folder is
    left as it is, an unfinished one is completed.

    Raises ConfigError if the folder holds something else: a collection rendered with other
    arguments, or files of the user's.
    """
    settings = _Settings(n_per_label, size, seed)
    if workers < 1:
        raise ConfigError(f"workers={workers}: need at least 1 process")
    if not _is_finished(folder, settings):
        _write_state(folder, settings, finished=False)
        sweep(folder)
        elements = _render_all(folder, settings, workers)
        write_text(folder / TRUTH_NAME, _truth_table(elements))
        _write_state(folder, settings, finished=True)
    return DemoTruth(folder, tuple(read_truth(folder / TRUTH_NAME)))


def read_truth(path: Path) -> list[DemoElement]:
    """The elements of a truth table, in its order.

    Raises DataError if the file is missing or not such a table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
            return [
                DemoElement(
                    row["file_name"],
                    row["label"],
                    row["kind"],
                    int(row["left"]),
                    int(row["top"]),
                    int(row["right"]),
                    int(row["bottom"]),
                )
                for row in rows
            ]
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); render the demo first"
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        columns = ",".join(_columns())
        raise DataError(f"{path}: not a truth table ({error}); expected {columns}") from None


def render_postcard(
    label: str, number: int, *, size: int = 256, seed: int = 0, planted: bool = True
) -> tuple[UInt8[np.ndarray, "size size 3"], list[DemoElement]]:
    """One image of the collection, as pixels, with what is planted in it.

    With `planted=False` the same scene without its planted elements and artefact: neutral
    designs stand in their places, and the list is empty.
    """
    # The label's number, not its name, so that renaming a town leaves its pictures alone.
    rng = np.random.default_rng([seed, _LABELS.index(label), number])
    scene = compose(rng)
    chosen = plant(scene, label, rng) if planted else frozenset()
    if not planted:
        plant(scene, label, rng)  # the same draws, so that what follows is the same
    painting = paint(scene, chosen, size, rng)
    file_name = _file_name(label, number)
    elements = [
        DemoElement(file_name, label, FAMILIES[sighting.item.family].kind, *sighting.box)
        for sighting in painting.planted
        if sighting.visible >= MIN_VISIBLE
    ]
    pixels = painting.pixels
    if planted and label == ARTEFACT_LABEL and rng.random() < ARTEFACT_SHARE:
        pixels, width = _scan_edge(pixels, rng)
        elements.append(DemoElement(file_name, label, ARTEFACT_KIND, 0, 0, width, size))
    return pixels, elements


def _scan_edge(pixels: np.ndarray, rng: Rng) -> tuple[np.ndarray, int]:
    """The image with a scanner's dark edge on its left; also the edge's width in pixels."""
    size = len(pixels)
    width = size / 256 * float(rng.uniform(4.0, 7.0))
    rows = np.arange(size)[:, None] / size
    wobble = 0.12 * width * np.sin(2 * np.pi * (2.5 * rows + rng.random()))
    across = np.arange(size)[None, :] - (width + wobble)  # pixels right of the edge
    shadow = np.clip(0.5 - across, 0, 1)[:, :, None]
    fringe = 0.6 * np.exp(-0.5 * (across - 1.5) ** 2)[:, :, None]
    dark = np.array([34, 30, 30]) + rng.normal(0, 5, (size, size, 1))
    lit = pixels + fringe * (np.array([255, 250, 240]) - pixels)
    edged = (1 - shadow) * lit + shadow * dark
    return edged.clip(0, 255).round().astype(np.uint8), int(np.ceil(1.12 * width + 2))


def _file_name(label: str, number: int) -> str:
    return f"{label}/{number:05d}.jpg"


def _render_all(folder: Path, settings: _Settings, workers: int) -> list[DemoElement]:
    tasks = [
        (folder, settings, label, start, min(start + _BATCH, settings.n_per_label))
        for label in _LABELS
        for start in range(0, settings.n_per_label, _BATCH)
    ]
    total = settings.n_per_label * len(_LABELS)
    found = run_tasks(
        _render_batch, tasks, workers=workers, name="rendering postcards", total=total
    )
    return [element for elements in found for element in elements]


def _render_batch(
    folder: Path,
    settings: _Settings,
    label: str,
    start: int,
    stop: int,
    advance: Callable[[int], None],
) -> list[DemoElement]:
    """Render the images from `start` up to `stop` of one label; returns what is planted there."""
    elements: list[DemoElement] = []
    for number in range(start, stop):
        pixels, found = render_postcard(label, number, size=settings.size, seed=settings.seed)
        path = folder / _file_name(label, number)
        if not path.exists():  # an interrupted render left whole files only
            with whole_file(path) as temporary:
                Image.fromarray(pixels).save(temporary, "JPEG", quality=JPEG_QUALITY)
        elements += found
        advance(1)
    return elements


def _columns() -> list[str]:
    return [field.name for field in fields(DemoElement)]


def _truth_table(elements: list[DemoElement]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_columns())
    writer.writerows(astuple(element) for element in elements)
    return table.getvalue()


def _is_finished(folder: Path, settings: _Settings) -> bool:
    """Whether `folder` holds this very collection, whole; ConfigError if it holds another."""
    path = folder / STATE_NAME
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder}: not empty and no demo collection; name a new folder")
        return False
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        finished, found = bool(state["finished"]), dict(state["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: unreadable ({error}); remove the folder to render anew"
        ) from None
    wanted = asdict(settings)
    differing = [name for name in wanted if found.get(name) != wanted[name]]
    if differing:
        difference = ", ".join(
            f"{name}={found.get(name)}, not {wanted[name]}" for name in differing
        )
        raise ConfigError(f"{folder}: rendered with {difference}; name another folder")
    return finished


def _write_state(folder: Path, settings: _Settings, *, finished: bool) -> None:
    state = {"finished": finished, "settings": asdict(settings)}
    write_text(folder / STATE_NAME, json.dumps(state, indent=2) + "\n")
