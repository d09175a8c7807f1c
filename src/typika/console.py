"""What a person sees while a command runs: log lines and progress, both on standard error.

Standard output is kept for data. On a terminal progress is a bar with the time left; elsewhere
(a log file, a cluster job) it is one line every `LOG_INTERVAL` seconds. `NO_COLOR` is honoured.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from typika.ranks import world

LOG_INTERVAL = 10.0  # seconds between progress lines where there is no terminal
QUIET_FOR = 2.0  # seconds during which a task shows nothing: short tasks need no bar

Advance = Callable[[int], None]


def say(message: str) -> None:
    """Print one line on standard error; of several processes on a run only the leader does."""
    if world().leads:
        print(message, file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """Print one warning on standard error."""
    say(f"warning: {message}")


def duration(seconds: float) -> str:
    """Spell a duration the way a person would: `42 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@contextmanager
def task(name: str, total: int) -> Iterator[Advance]:
    """Show the progress of `total` steps called `name`; yields the function that advances it."""
    if not world().leads:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _bar(name, total) as advance:
            yield advance
    else:
        yield _Lines(name, total)


@contextmanager
def _bar(name: str, total: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<22}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as progress:
        bar = progress.add_task(name, total=total)
        yield lambda steps: progress.advance(bar, steps)


class _Lines:
    """Progress as log lines: callable like the bar's `advance`."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total, self.done = name, total, 0
        self.started = self.said = time.monotonic()

    def __call__(self, steps: int) -> None:
        self.done += steps
        now = time.monotonic()
        if now - self.said < LOG_INTERVAL or not self.done:
            return
        self.said = now
        left = (now - self.started) / self.done * (self.total - self.done)
        say(f"{self.name}: {self.done} of {self.total}, {duration(left)} left")
