"""An atlas of planted letters: two scripts, three documents each, all records made by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "palaeography"))
from planted_letters import glyph, instances

from typika.palaeography.comparison_records import (
    Comparison,
    Differences,
    Graphs,
    Outliers,
    Seriation,
    Spread,
    Tree,
)
from typika.palaeography.records import Instances, Letter, Prototypes
from typika.report.atlas_records import AtlasInputs

SCRIPTS = {
    "a1": "north",
    "a2": "north",
    "a3": "north",
    "b1": "south",
    "b2": "south",
    "b3": "south",
}
YEARS = dict(zip(SCRIPTS, (810.0, 830.0, 1000.0, 900.0, None, 1100.0), strict=True))
FACES = {"north": "times", "south": "modern"}
FEW = 5


def planted(
    characters: str = "abd", n_each: int = 6, documents: dict[str, str] | None = None
) -> Instances:
    """Instances of six documents in two scripts, each of another fount."""
    scripts = documents or SCRIPTS
    shapes = {name: {one: glyph(one, FACES.get(script, "times")) for one in characters}
              for name, script in scripts.items()}  # fmt: skip
    columns = {"script": scripts, "place": {name: f"place {name}" for name in scripts}}
    return instances(shapes, n_each, columns={"script": columns["script"]})


def prototypes(given: Instances, by: str, parents: dict[str, str] | None = None) -> Prototypes:
    """The means of instances, as a method that does nothing else would have them."""
    groups, own = given.groups(by)
    shape = (len(groups), len(given.letters), *given.shape)
    mean, variance = np.zeros(shape), np.zeros(shape)
    count, medoid = np.zeros(shape[:2], int), np.full(shape[:2], -1)
    for g in range(shape[0]):
        for k in range(shape[1]):
            rows = np.flatnonzero((own == g) & (given.letter == k))
            count[g, k] = len(rows)
            if len(rows):
                ink = given.ink[rows] / 255
                mean[g, k], variance[g, k] = ink.mean(0), ink.var(0)
                medoid[g, k] = rows[((ink - ink.mean(0)) ** 2).sum((1, 2)).argmin()]
    flag = tuple(tuple("absent" if not n else "few" if n < FEW else "" for n in row)
                 for row in count)  # fmt: skip
    reference = np.stack([mean[:, k].mean(0) for k in range(shape[1])])
    return Prototypes(
        by=by, method="mean", groups=groups,
        parents=tuple((parents or {}).get(name, "") for name in groups), letters=given.letters,
        reference=reference, ink=mean, mean=mean, median=mean, variance=variance, count=count,
        medoid=medoid, quality=np.zeros(shape[:2]), flag=flag,
    )  # fmt: skip


def compared(documents: Prototypes, scripts: Prototypes) -> Comparison:
    """A comparison whose figures are made up but of the right shape."""
    rng = np.random.default_rng(0)
    letters, k, d = documents.letters, len(documents.letters), len(documents.groups)
    first, second = scripts.groups[:2]
    three = np.stack([np.linspace(0.6, 0.9, k), np.linspace(0.5, 0.8, k),
                      np.linspace(0.7, 1, k)], 1)  # fmt: skip
    side = np.array([{first: -1, second: 1}.get(parent, 0) for parent in documents.parents])
    away = np.abs(scripts.ink[1] - scripts.ink[0])
    pair = Differences(
        first=first, second=second, unit="document", level=0.05, letters=letters,
        units=np.full((k, 2), 3), count=np.full((k, 2), 18),
        ink=scripts.ink[:2].transpose(1, 0, 2, 3),
        map=scripts.ink[1] - scripts.ink[0], p=np.where(away > 0.2, 0.001, 1.0),
        q=np.where(away > 0.2, 0.01, 1.0), significant=away > 0.2, letter_p=np.full(k, 0.01),
        letter_q=np.full(k, 0.02), differs=np.arange(k) > 0, l2=three, l2_corrected=three,
        ssim=three, separation=three, right=np.full(k, 0.9),
    )  # fmt: skip
    distance = rng.uniform(2, 8, (d, k, 2))
    graph = Graphs(
        first=first, second=second, letters=letters, documents=documents.groups, side=side,
        split=("train",) * (d - 1) + ("test",), count=documents.count, distance=distance,
        published=distance * 0.9,
    )  # fmt: skip
    spread = Spread(
        groups=(first, second), letters=letters, units=np.full((2, k), 3),
        sigma=np.stack([three, three]), corrected=np.stack([three, three]), ratio=three[None],
        p=np.full((1, k), 0.2), q=np.full((1, k), 0.3), all_p=np.array([0.04]),
    )  # fmt: skip
    outliers = Outliers(
        documents=documents.groups, group=documents.parents, letters=letters,
        statistic=np.arange(d, 0, -1.0), by_letter=rng.random((d, k)),
        p=np.linspace(0.001, 0.9, d), holm=np.linspace(0.006, 1, d),
    )  # fmt: skip
    linkage, at = [], 0
    for n in range(d - 1):
        linkage.append((at, n + 1, 1.0 + n, n + 2))
        at = d + n
    axis = rng.normal(size=(d, 2))
    return Comparison(
        by="script", documents_by="document", ink="mean", differences=(pair,), graphs=(graph,),
        spread=spread, outliers=outliers,
        tree=Tree(documents=documents.groups, group=documents.parents, left_out=(),
                  distance=np.abs(np.subtract.outer(range(d), range(d))) * 1.0,
                  linkage=np.array(linkage), support=np.linspace(0.4, 1, d - 1),
                  place=rng.normal(size=(d, 2)), stress=0.1),
        seriation=Seriation(
            documents=documents.groups, letters=letters, written=("9th c.",) * d, unread=(),
            year=np.array([YEARS.get(one) or np.nan for one in documents.groups]), axis=axis,
            share=np.array([0.6, 0.2]), spearman=np.array([[0.8, 0.5, 0.9], [0.1, -0.4, 0.5]]),
            p=np.array([0.01, 0.7]), corrected=np.array([0.02, 0.9]),
            carried=np.arange(k, 0, -1) / (k * (k + 1) / 2), along=scripts.ink[1] - scripts.ink[0],
            predicted=np.full(d, 900.0), error=np.array([40.0, 20, 60]), guessing=90.0,
        ),
    )  # fmt: skip


def line_of(line_id: str) -> np.ndarray:
    """A line of grey ramps, 64 pixels high."""
    ramp = np.linspace(255, 120, 400).astype(np.uint8)
    return np.broadcast_to(ramp[None, :, None], (64, 400, 3))


def atlas_inputs(given: Instances | None = None, **changes: Any) -> AtlasInputs:
    """All that an atlas can show."""
    given = given or planted()
    parents = dict(zip(given.table["document"].to_pylist(), given.table["script"].to_pylist(),
                       strict=True))  # fmt: skip
    documents, scripts = prototypes(given, "document", parents), prototypes(given, "script")
    known: dict[str, Any] = {
        "name": "planted", "prototypes": (documents, scripts), "instances": given, "line": line_of,
        "masks": (documents.reference > 0.05).astype(float),
        "dates": {"document": {name: (f"{year:.0f}" if year else "", year)
                               for name, year in YEARS.items()}},
        "comparisons": (compared(documents, scripts),) if len(scripts.groups) > 1 else (),
        "tables": (), "source": "/lines", "notes": (), "facts": {"Seed": "0"}, "version": "1",
        "date": "",
    }  # fmt: skip
    return AtlasInputs(**known | changes)


__all__ = ["FEW", "SCRIPTS", "Letter", "atlas_inputs", "compared", "planted", "prototypes"]
