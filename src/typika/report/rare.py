"""Rare but consistent elements in words and pictures (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typika.report.pictures import as_base64
from typika.report.records import Rare, RareGroup, RareLabel

Picture = tuple[str, str]  # JPEG in base64, and its words

SHARE = 0.15  # of the page's size that the section may take
MOST_PICTURES = 8  # of a group
MARKUP = 180  # bytes around a picture


def rare_labels(rare: Rare | None, budget: int) -> tuple[RareLabel, ...]:
    """The list of each label that has one, with as many groups as its share of `budget` holds."""
    if rare is None or not len(rare.groups):
        return ()
    pictures: dict[tuple[str, int], list[Picture]] = {}
    for row in rare.patches.to_pylist():
        own = pictures.setdefault((row["label"], row["rank"]), [])
        if len(own) < MOST_PICTURES:
            alt = f"Window of {row['file_name']}, typicality {row['typicality']:.3g}"
            own.append((as_base64(row["thumbnail"]["bytes"]), alt))
    groups = rare.groups.to_pylist()
    most = max(row["rank"] for row in groups)
    while most and sum(_weight(own) for key, own in pictures.items() if key[1] <= most) > (
        SHARE * budget
    ):
        most -= 1
    found: dict[str, list[RareGroup]] = {}
    for row in groups:
        if row["rank"] <= most:
            shown = tuple(pictures[row["label"], row["rank"]])
            group = RareGroup(rank=row["rank"], text=_words(row), pictures=shown)
            found.setdefault(row["label"], []).append(group)
    return tuple(RareLabel(label=label, groups=tuple(own)) for label, own in found.items())


def weight(labels: tuple[RareLabel, ...]) -> int:
    """Bytes that the lists take in the page."""
    return sum(_weight(group.pictures) for label in labels for group in label.groups)


def _weight(pictures: Sequence[Picture]) -> int:
    return sum(len(jpeg) + MARKUP for jpeg, _ in pictures) + MARKUP


def _words(row: Mapping[str, Any]) -> str:
    """All figures of a group, each with what it means."""
    said = (
        f"Score {row['score']:.2f}: {row['n_images']} images ({row['share']:.1%} of the label), "
        f"closer to each other than to the next image by a cosine of {row['tightness']:.2f}, "
        f"more typical than {row['standing']:.0%} of the label (median {row['typicality']:.3g})."
    )
    if row["n_unseen"]:
        said += (
            f" Of images that the model never saw {row['unseen']} of {row['n_unseen']:,} of this "
            f"label match as well, and {row['unseen_others']} of {row['n_unseen_others']:,} of "
            "others."
        )
    return said
