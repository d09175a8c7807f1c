"""A typewriter on disk: its tensors as safetensors, what they mean as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save

from typika import __version__, config
from typika.errors import ModelError
from typika.files import file_digest, whole_folder, write_text
from typika.typewriter.alphabet import Alphabet
from typika.typewriter.discovery import Signs, load_signs, save_signs
from typika.typewriter.kinds import DEFAULT, KINDS
from typika.typewriter.model import Typewriter
from typika.typewriter.redraws import Redraws

TENSORS, MEANING, SIGNS = "typewriter.safetensors", "typewriter.json", "signs.safetensors"


@dataclass(frozen=True)
class Trained:
    """A model, the symbols it types, and the Unicode form of the texts it learned from."""

    model: Redraws
    alphabet: Alphabet
    normalisation: str
    signs: Signs | None = None  # where symbols are signs that were found, not characters
    digest: str = ""  # of the file of its tensors, once there is one


def save_typewriter(trained: Trained, folder: Path) -> None:
    """Write a typewriter to a folder, whole or not at all."""
    tensors = {name: value.detach().cpu().contiguous()
               for name, value in trained.model.state_dict().items()}  # fmt: skip
    meaning: dict[str, Any] = {
        "typika": __version__,
        "model": config.as_values(trained.model.config),
        "symbols": list(trained.alphabet.symbols),
        "normalisation": trained.normalisation,
    }
    if isinstance(trained.model, Typewriter) and trained.model.forms:
        meaning["forms"] = list(trained.model.forms)
    with whole_folder(folder) as temporary:
        (temporary / TENSORS).write_bytes(save(tensors))
        text = json.dumps(meaning, indent=2, ensure_ascii=False)
        write_text(temporary / MEANING, text + "\n")
        if trained.signs:
            save_signs(trained.signs, temporary / SIGNS)


def load_typewriter(folder: Path) -> Trained:
    """Read what `save_typewriter` wrote.

    Raises:
        ModelError: nothing there, or not a typewriter of this version.
    """
    try:
        meaning = json.loads((folder / MEANING).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)
        kind = KINDS[meaning["model"].get("kind", DEFAULT)]
        alphabet = Alphabet(tuple(meaning["symbols"]))
        model = kind.build(config.build(kind.settings, meaning["model"]), alphabet, 0)
        model.load_state_dict(tensors)
        if isinstance(model, Typewriter) and "forms" in meaning:
            model.use(meaning["forms"])
    except FileNotFoundError as error:
        raise ModelError(
            f"{folder}: no typewriter here; pass a run that `typika typewriter fit` finished"
        ) from error
    except (ValueError, KeyError, RuntimeError) as error:
        raise ModelError(
            f"{folder}: not a typewriter that this version reads ({error})"
        ) from error
    model.eval()
    digest = file_digest(folder / TENSORS)
    signs = load_signs(folder / SIGNS) if (folder / SIGNS).exists() else None
    return Trained(model, alphabet, meaning["normalisation"], signs, digest)
