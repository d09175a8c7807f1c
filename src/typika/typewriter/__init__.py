"""Sprites out of text lines: the Learnable Typewriter.

```
run = typika.typewriter.fit("book", "runs/book")
run.characters.to_pandas()
typika.typewriter.evaluate("runs/book", "more-lines").error.micro
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["configure", "evaluate", "fit", "report", "similarities", "transcribe"]

if TYPE_CHECKING:
    from typika.typewriting import configure as configure
    from typika.typewriting import evaluate as evaluate
    from typika.typewriting import fit as fit
    from typika.typewriting import report as report
    from typika.typewriting import similarities as similarities
    from typika.typewriting import transcribe as transcribe


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'typika.typewriter' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("typika.typewriting"), name)
