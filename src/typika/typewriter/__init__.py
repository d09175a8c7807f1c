"""Sprites out of text lines: the Learnable Typewriter.

```
run = typika.typewriter.fit("book", "runs/book")
run.characters.to_pandas()
typika.typewriter.evaluate("runs/book", "more-lines").error.micro
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

_HOMES = {
    "adapt": "typika.adaptations",
    "atlas": "typika.atlas",
    "allographs": "typika.letterforms",
    "configure": "typika.typewriting",
    "evaluate": "typika.typewriting",
    "export": "typika.exporting",
    "fit": "typika.typewriting",
    "measure": "typika.letterforms",
    "report": "typika.typewriting",
    "similarities": "typika.typewriting",
    "transcribe": "typika.typewriting",
}
__all__ = list(_HOMES)

if TYPE_CHECKING:
    from typika.adaptations import adapt as adapt
    from typika.atlas import atlas as atlas
    from typika.exporting import export as export
    from typika.letterforms import allographs as allographs
    from typika.letterforms import measure as measure
    from typika.typewriting import configure as configure
    from typika.typewriting import evaluate as evaluate
    from typika.typewriting import fit as fit
    from typika.typewriting import report as report
    from typika.typewriting import similarities as similarities
    from typika.typewriting import transcribe as transcribe


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'typika.typewriter' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
