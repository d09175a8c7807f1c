"""`typika typewriter ...`: characters out of text lines."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from typika.cli.adapt import adapt
from typika.cli.compare_scripts import compare
from typika.cli.decipher import decipher
from typika.cli.export import export
from typika.cli.letterforms import allographs, measure
from typika.console import duration, say
from typika.ranks import world

if TYPE_CHECKING:
    from typika.typewriting import TypewriterRun

app = App(
    name="typewriter",
    help="Learn the characters of text lines as sprites that redraw them.",
    result_action="return_value",
)
Setting = Annotated[tuple[str, ...], Parameter(negative="")]


@app.command
def fit(
    lines: Path,
    *,
    out: Path | None = None,
    recipe: Path | None = None,
    preset: str | None = None,
    set: Setting = (),
    device: str = "auto",
    overwrite: bool = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Learn from a folder of lines, with or without transcriptions, and write a report.

    Args:
        lines: Line images with .gt.txt files, ALTO or PAGE with their pages, or annotation.json.
        out: Run folder; runs/NAME by default.
        recipe: TOML file with any of the settings that --dry-run prints.
        preset: `paper`: the published model and training; also `paper-copiale`,
            `paper-fontenay` and `paper-textualis`.
        set: Any setting, as in --set training.steps=2000. May be repeated.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        overwrite: Redo what another configuration made in the run folder.
        dry_run: Print the configuration and what would be learned from, and stop.
    """
    from typika import config, typewriting

    given = config.from_settings(dict(config.parse_setting(text) for text in set))
    recorded = config.read_toml(recipe) if recipe else {}
    sources = (recorded, config.from_environment(os.environ), given)
    settings = typewriting.configure(*sources, preset=preset)
    if dry_run:
        print(config.as_toml(settings))
        for line in typewriting.plan(lines, settings):
            print(f"# {line}")
        return
    started = time.monotonic()
    run = typewriting.fit(lines, out, config=settings, device=device, overwrite=overwrite)
    _show_end(run, started)
    if world().leads:
        print(run.report)


@app.command
def transcribe(
    run: Path,
    lines: Path,
    *,
    out: Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> None:
    """Read further lines: their texts, and boxes and confidences of their characters.

    Args:
        run: Folder that `typika typewriter fit` made.
        lines: As for `fit`.
        out: Folder of the tables; RUN/read/NAME by default.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        overwrite: Redo what another typewriter made in the folder.
    """
    from typika import typewriting

    started = time.monotonic()
    read = typewriting.transcribe(run, lines, out, device=device, overwrite=overwrite)
    for row in read.readings.to_pylist():
        print(f"{row['line_id']}\t{row['read']}")
    _show_end(read, started)


@app.command
def evaluate(
    run: Path,
    lines: Path | None = None,
    *,
    exemplars: Path | None = None,
    out: Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> None:
    """Compare what is read with transcriptions, or sprites with a reader's own letters.

    Args:
        run: Folder that `typika typewriter fit` made.
        lines: Transcribed lines, as for `fit`.
        exemplars: Folder of images called by their character: a.png, U+0062.png.
        out: Folder of the tables; RUN/read/NAME by default.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        overwrite: Redo what another typewriter made in the folder.
    """
    from typika import typewriting
    from typika.errors import ConfigError

    if lines is None and exemplars is None:
        raise ConfigError("nothing to compare with: pass transcribed LINES, or --exemplars DIR")
    if lines is not None:
        found = typewriting.evaluate(run, lines, out, device=device, overwrite=overwrite)
        for line in found.summary:
            print(line)
    if exemplars is not None:
        likeness = typewriting.similarities(run, exemplars)
        for character, value in sorted(likeness.items(), key=lambda pair: pair[1]):
            print(f"{character}\t{value:.3f}")
        mean = sum(likeness.values()) / len(likeness)
        print(f"similarity of {len(likeness)} sprites: mean {mean:.3f}")


@app.command
def report(run: Path) -> None:
    """Write the report of a run again.

    Args:
        run: Folder that `typika typewriter fit` made.
    """
    from typika import typewriting

    print(typewriting.report(run))


@app.command
def demo(folder: Path = Path("typewriter-demo"), *, seed: int = 0) -> None:
    """Render lines of print, learn their characters, and hold them against the true ones.

    Args:
        folder: Where the lines, the truth and the run go.
        seed: Of the lines and of the run.
    """
    from typika import typewriter_demonstration

    started = time.monotonic()
    result = typewriter_demonstration.run(folder, seed=seed)
    for line in result.summary:
        print(line)
    print(f"time: {duration(time.monotonic() - started)}")
    print(f"report: {result.report}")


def _show_end(run: TypewriterRun, started: float) -> None:
    say(f"done in {duration(time.monotonic() - started)}; tables in {run.folder}")


app.command(adapt)
app.command(compare)
app.command(export)
app.command(allographs)
app.command(measure)
app.command(decipher)
