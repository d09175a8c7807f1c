"""Every reader against spoiled files: records or a TypikaError, and nothing else.

Each input is a valid file with damage at byte, token or structure level, drawn from the input's
number. A reader must give records or raise TypikaError: any other exception, a warning, a crash of
the process, more than TIMEOUT seconds or MEMORY bytes, or a file opened for writing outside of the
input's own folder is counted against it.

    python -m benchmarks.fuzz READER [N [FIRST]]     # N inputs of one reader
"""

from __future__ import annotations

import contextlib
import csv
import faulthandler
import json
import multiprocessing as processes
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks._fuzz_readers import Reader, readers
from benchmarks._mutations import damaged
from benchmarks.record import Figure, Result, at_most, cpu_seconds
from typika.console import say
from typika.files import safe_name

INPUTS = 10_000  # of each reader
TIMEOUT = 20.0  # seconds of a core for one input
LONGEST = 600.0  # seconds by the clock, on a machine that others use too
MEMORY = 3 << 30  # bytes that a process may map beside what it had when it began
KEPT = Path(tempfile.gettempdir()) / "typika-fuzz"  # inputs that broke something
PLACE = Path("/dev/shm")  # where writing costs nothing, if there is such a place
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
MAKING = ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.truncate", "os.remove")


@dataclass
class Tally:
    """What became of the inputs of one reader."""

    inputs: int = 0
    read: int = 0  # inputs that gave records
    records: int = 0
    refused: int = 0
    outside: int = 0
    seconds: float = 0.0
    uncaught: Counter[str] = field(default_factory=Counter)


def spoil(reader: Reader, number: int) -> bytes:
    """The input of a number; 0 and on are the valid files themselves."""
    if number < len(reader.seeds):
        return reader.seeds[number]
    rng = random.Random(f"{reader.name}/{number}")
    content = rng.choice(reader.seeds)
    for _ in range(rng.choice((1, 1, 1, 2))):
        try:
            content = rng.choice(reader.mutators)(content, rng)
        except (ValueError, OSError, RecursionError, csv.Error, pa.ArrowException):
            # Too spoiled already for its kind.
            content = damaged(content, rng)
    return content


def attempt(reader: Reader, content: bytes, folder: Path) -> int | str:
    """Records of one input, or why it is refused.

    folder: what `reader.prepare` made. Raises whatever else the reader raises, warnings too.
    """
    from typika.errors import TypikaError

    path = folder / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return reader.read(folder)
        except TypikaError as error:
            return str(error)


class Watch:
    """Notes files that are opened for writing, made or removed outside of a folder."""

    def __init__(self) -> None:
        self.inside = ""
        self.found: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.inside or (event != "open" and event not in MAKING):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING):
            return
        for name in arguments[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
            if not isinstance(name, str | bytes | os.PathLike):
                continue
            place = os.path.realpath(os.fsdecode(name))  # no Path in a hook
            if not place.startswith(self.inside) and place != os.devnull:
                self.found.append(f"{event} {place}")


def _work(reader: Reader, first: int, last: int, pipe: Connection) -> None:
    """Inputs of some numbers, in a process of their own; a message before and after each."""
    faulthandler.enable(file=sys.__stderr__ if pipe is None else open(os.devnull, "w"))  # noqa: SIM115, PTH123
    os.environ["TYPIKA_QUIET"] = "1"
    _warm(reader)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    watch = Watch()
    with tempfile.TemporaryDirectory(dir=PLACE if PLACE.is_dir() else None) as place, _silent():
        folder = Path(place) / "input"
        folder.mkdir()
        reader.prepare(folder)
        prepared = _state(folder, reader.file)
        for number in range(first, last):
            pipe.send(("begin", number, "", 0))
            content = spoil(reader, number)
            watch.found, watch.inside = [], os.path.realpath(folder)
            try:
                found = attempt(reader, content, folder)
                kind = "refused" if isinstance(found, str) else "read"
                pipe.send((kind, number, "", found if isinstance(found, int) else 0))
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                pipe.send(("uncaught", number, _short(error), 0))
            watch.inside = ""
            if watch.found:
                pipe.send(("outside", number, watch.found[0], 0))
            (folder / reader.file).unlink(missing_ok=True)
            if _state(folder, reader.file) != prepared:
                shutil.rmtree(folder)
                folder.mkdir()
                reader.prepare(folder)
                prepared = _state(folder, reader.file)
    pipe.send(("end", last, "", 0))


def _state(folder: Path, spoiled: str) -> list[tuple[str, int, int]]:
    """What is in a folder beside the file that is spoiled."""
    found = [(path, path.stat()) for path in sorted(folder.rglob("*")) if path != folder / spoiled]
    return [(str(path), one.st_size, one.st_mtime_ns) for path, one in found]


def _warm(reader: Reader) -> None:
    """Import what the reader imports, before memory is bounded."""
    with tempfile.TemporaryDirectory() as place, _silent(), contextlib.suppress(Exception):
        reader.prepare(Path(place))
        attempt(reader, reader.seeds[0], Path(place))


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Neither progress nor what C libraries print."""
    with open(os.devnull, "w") as nothing:  # noqa: PTH123
        kept = os.dup(2)
        os.dup2(nothing.fileno(), 2)
        try:
            with contextlib.redirect_stderr(nothing), contextlib.redirect_stdout(nothing):
                yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _short(error: BaseException) -> str:
    """The exception, and the line of ours that it came out of."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/typika/" in frame.filename] or frames
    frame = ours[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    return f"{type(error).__name__} at {where}: {str(error)[:100]!r}"


def fuzz(reader: Reader, inputs: int = INPUTS, first: int = 0) -> Tally:
    """Run the inputs of one reader; a process that dies or hangs costs one input."""
    tally, started, number = Tally(), time.monotonic(), first
    context = processes.get_context("fork")
    while number < first + inputs:
        mine, theirs = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(reader, number, first + inputs, theirs))
        worker.start()
        theirs.close()
        current, begun, quiet, busy = number, False, 0.0, 0.0
        while True:
            if (
                not mine.poll(TIMEOUT)
                and (quiet := quiet + TIMEOUT)
                and (cpu_seconds(worker.pid) - busy > TIMEOUT or quiet > LONGEST)
            ):
                worker.kill()
                _count(tally, reader, "uncaught", current, f"hangs for {TIMEOUT:g} s", 0)
                break
            if not mine.poll():
                continue
            try:
                kind, current, text, records = mine.recv()
            except EOFError:
                worker.join()
                _count(tally, reader, "uncaught", current, f"dies ({worker.exitcode})", 0)
                break
            quiet, busy = 0.0, cpu_seconds(worker.pid) if kind == "begin" else busy
            begun = True
            if kind == "end":
                break
            _count(tally, reader, kind, current, text, records)
        worker.join()
        number = first + inputs if begun and kind == "end" else current + 1
    tally.seconds = time.monotonic() - started
    return tally


def _count(tally: Tally, reader: Reader, kind: str, number: int, text: str, records: int) -> None:
    tally.inputs += kind in ("read", "refused", "uncaught")
    tally.read += kind == "read"
    tally.records += records
    tally.refused += kind == "refused"
    if kind in ("uncaught", "outside"):
        tally.outside += kind == "outside"
        if kind == "uncaught":
            tally.uncaught[text] += 1
        if tally.uncaught[text] <= 3:
            KEPT.mkdir(exist_ok=True)
            (KEPT / f"{safe_name(reader.name)}-{number}").write_bytes(spoil(reader, number))


def tally_of(reader: Reader) -> Tally:
    """The tally of all inputs; that of an interrupted run where TYPIKA_FUZZ_RESUME is set."""
    kept = KEPT / f"{safe_name(reader.name)}.tally"
    if os.environ.get("TYPIKA_FUZZ_RESUME") and kept.exists():
        values = json.loads(kept.read_text())
        return Tally(**{**values, "uncaught": Counter(values["uncaught"])})
    tally = fuzz(reader)
    KEPT.mkdir(exist_ok=True)
    kept.write_text(json.dumps(vars(tally)))
    broken = tally.uncaught.total()
    say(f"{reader.name}: {broken} of {tally.inputs} uncaught, {tally.seconds:.0f} s")
    return tally


def run() -> Result:
    rows, worst = [], []
    uncaught = outside = 0
    tallies = [(reader, tally_of(reader)) for reader in readers()]
    for reader, tally in tallies:
        broken = sum(tally.uncaught.values())
        uncaught, outside = uncaught + broken, outside + tally.outside
        cells = (reader.name, f"{tally.inputs:,}", f"{tally.read:,}", f"{tally.records:,}",
                 f"{tally.refused:,}", broken, tally.outside, f"{tally.seconds:.0f}")  # fmt: skip
        rows.append(f"| {' | '.join(map(str, cells))} |")
        worst += [f"{reader.name}: {n} x {text}" for text, n in tally.uncaught.most_common()]
    table = "\n".join([
        "| reader | inputs | read | records | refused | uncaught | outside | s |",
        "|---|---|---|---|---|---|---|---|", *rows,
    ])  # fmt: skip
    least = min(tally.inputs for _, tally in tallies)
    note = ("Read: the file gave records, some perhaps left out by name. Refused: TypikaError. "
            "Uncaught: any other exception, a warning, a crash, "
            f"{TIMEOUT:g} s or {MEMORY >> 30} GiB.")  # fmt: skip
    figures = [
        Figure(name="inputs of each reader", value=least, unit="", target=">= 10000",
               met=least >= 10_000),
        at_most("files written outside", outside, 0, "inputs"),
        at_most("uncaught", uncaught, 0, "inputs"),
    ]  # fmt: skip
    return Result(figures=figures, notes=[note, table, *worst])


def main() -> int:
    name, *numbers = sys.argv[1:]
    chosen = [reader for reader in readers() if reader.name in name.split(",") or name == "all"]
    for reader in chosen:
        tally = fuzz(reader, *map(int, numbers))
        print(f"{reader.name}: {tally.inputs} inputs, {tally.read} read, {tally.refused} refused, "
              f"{sum(tally.uncaught.values())} uncaught, {tally.outside} outside, "
              f"{tally.seconds:.0f} s", flush=True)  # fmt: skip
        for text, count in tally.uncaught.most_common():
            print(f"  {count} x {text}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
