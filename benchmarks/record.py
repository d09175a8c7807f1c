"""What a benchmark returns, how it is printed, and the dated file it can write."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured value and the target it is held against."""

    name: str
    value: float
    unit: str
    target: str  # in words, as in "<= 20"
    met: bool | None  # None where it is held against nothing

    @property
    def verdict(self) -> str:
        return {True: "met", False: "missed", None: "-"}[self.met]

    def line(self) -> str:
        return f"{self.name} {self.value:.4g} {self.unit} {self.target} {self.verdict}"


@dataclass(frozen=True, kw_only=True)
class Result:
    """All figures of a benchmark; the last is the one that it is named for."""

    figures: Sequence[Figure]
    notes: Sequence[str] = field(default_factory=tuple)  # Markdown paragraphs or tables


@dataclass(frozen=True)
class Seeds:
    """What was measured with each seed: records of numbers, all of one kind.

    name: goes before the name of every figure.
    """

    name: str
    of: Mapping[int, Any]

    def mean(self, field: str) -> float:
        return sum(getattr(one, field) for one in self.of.values()) / len(self.of)

    def shown(self, field: str, unit: str) -> Figure:
        """The mean of a field, held against nothing."""
        name = f"{self.name}-{field}"
        return Figure(name=name, value=self.mean(field), unit=unit, target="-", met=None)

    @property
    def table(self) -> str:
        """A row for every seed, in Markdown."""
        names = [one.name for one in fields(next(iter(self.of.values())))]
        head = f"| seed | {' | '.join(names)} |\n" + "|---" * (len(names) + 1) + "|"
        rows = [
            f"| {seed} | " + " | ".join(f"{getattr(one, name):.4g}" for name in names) + " |"
            for seed, one in self.of.items()
        ]
        return "\n".join([head, *rows])


class Skip(Exception):
    """The benchmark cannot run here; the message says why."""


def at_most(name: str, value: float, limit: float, unit: str) -> Figure:
    return Figure(name=name, value=value, unit=unit, target=f"<= {limit:g}", met=value <= limit)


def at_least(name: str, value: float, limit: float, unit: str) -> Figure:
    return Figure(name=name, value=value, unit=unit, target=f">= {limit:g}", met=value >= limit)


def real(*parts: str) -> Path:
    """A folder of the real data. Raises Skip where there is none."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        raise Skip(f"needs {path}")
    return path


def hardware() -> str:
    """Processor, cores and memory, as this process sees them."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {cores} cores, {memory:.0f} GiB"


def write(name: str, result: Result, seconds: float) -> Path:
    """Write the dated, hardware-named file of a result."""
    date = datetime.date.today().isoformat()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    path = RESULTS / f"{name}_{date}_{platform.machine()}-{cores}core.md"
    lines = [
        f"# {name}",
        "",
        f"{date}, {hardware()}, Python {platform.python_version()}, torch {version('torch')}, "
        f"typika {version('typika')}; `python -m benchmarks {name}`, {seconds:.0f} s.",
        "",
        "| figure | value | unit | target | |",
        "|---|---|---|---|---|",
    ]
    for figure in result.figures:
        lines.append(
            f"| {figure.name} | {figure.value:.4g} | {figure.unit} | {figure.target} | "
            f"{figure.verdict} |"
        )
    for note in result.notes:
        lines += ["", note]
    RESULTS.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@contextmanager
def peak_memory(pid: int, every: float = 0.2) -> Iterator[list[float]]:
    """Sample the resident memory of a process and all its children; peak in GB in the list.

    every: seconds from one look to the next, each of which costs some hundredths of a second.
    """
    import threading

    peak, finished = [0.0], threading.Event()

    def watch() -> None:
        while not finished.wait(every):
            peak[0] = max(peak[0], _resident(pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        finished.set()
        watcher.join()


def cpu_seconds(pid: int) -> float:
    """Time that a process and all its children, ended ones too, have spent on a core."""
    ticks = 0
    for current in _tree(pid):
        try:
            # After the name, which may hold spaces: utime, stime, cutime, cstime.
            fields = Path(f"/proc/{current}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    return ticks / os.sysconf("SC_CLK_TCK")


def _tree(pid: int) -> Iterator[int]:
    """A process and all its children, theirs too."""
    pids = [pid]
    while pids:
        current = pids.pop()
        yield current
        try:
            for thread in Path(f"/proc/{current}/task").iterdir():
                pids += map(int, (thread / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended while we looked


def _resident(pid: int) -> float:
    """Memory in GB of a process tree, pages shared between its processes counted once each."""
    total = 0
    for current in _tree(pid):
        try:
            for line in Path(f"/proc/{current}/smaps_rollup").read_text().splitlines():
                # What the processes hold, alone or together; mapped files can be dropped.
                if line.startswith(("Anonymous:", "Pss_Shmem:")):
                    total += int(line.split()[1])
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended while we looked
    return total / 2**20
