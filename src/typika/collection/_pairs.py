"""Images of single lines, each beside its transcription: x.png and x.gt.txt, or x.png alone."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from typika.collection._files import Refused, same_name
from typika.collection._line_records import Candidate, Harvest
from typika.collection._transcription import read_transcription

TRANSCRIPTION = ".gt.txt"
VARIANTS = ("", ".raw", ".nrm", ".bin")  # of one line's image, the one with most in it first


def read_pairs(root: Path, images: Sequence[str], texts: Sequence[str]) -> Harvest:
    """Pair images with transcriptions by their names.

    An image without a transcription is an untranscribed line; a transcription without an image,
    or one that cannot be read, is skipped, and in the latter case its image too: whoever wrote it
    takes the line for transcribed.

    Args:
        root: the folder that all names are relative to.
        images: image files.
        texts: .gt.txt files.
    """
    harvest = Harvest()
    alike: dict[str, list[str]] = defaultdict(list)
    for image in images:
        alike[same_name(stem(image))].append(image)
    text_of = _by_name(texts)
    several, untranscribed = [], []
    for name, variants in sorted(alike.items()):
        chosen = min(variants, key=_preference)
        if len(variants) > 1:
            several.append(f"{chosen} beside {max(variants, key=_preference)}")
        text = None
        if name in text_of:
            try:
                text = read_transcription(root / text_of[name])
            except Refused as refusal:
                harvest.skip(text_of[name], str(refusal))
                continue
        else:
            untranscribed.append(chosen)
        harvest.candidates.append(Candidate(line_id=name, file_name=chosen, text=text))
    for name in sorted(text_of.keys() - alike.keys()):
        harvest.skip(text_of[name], "no image of that name beside this transcription")
    harvest.note(several, "lines with several images, of which one is taken")
    if text_of:
        harvest.note(untranscribed, "images without a transcription, untranscribed lines now")
    return harvest


def paired(images: Sequence[str], texts: Sequence[str]) -> set[str]:
    """The images that have a transcription."""
    text_of = _by_name(texts)
    return {image for image in images if same_name(stem(image)) in text_of}


def _by_name(texts: Sequence[str]) -> dict[str, str]:
    return {same_name(text[: -len(TRANSCRIPTION)]): text for text in texts}


def stem(image: str) -> str:
    """The name of a line's image without its suffix and what says which variant it is."""
    bare = posixpath.splitext(image)[0]
    base, variant = posixpath.splitext(bare)
    return base if variant.lower() in VARIANTS[1:] else bare


def _preference(image: str) -> tuple[int, str]:
    variant = posixpath.splitext(posixpath.splitext(image)[0])[1].lower()
    return (VARIANTS.index(variant) if variant in VARIANTS else 0, image)
