"""Faults planted at the n-th thing that a command does to the disk, and random kills.

Every step of a run is a function of the folder that holds the runs, begun from what the step
before it left. It is carried out in a process forked from a server that has torch loaded already,
so that a trial costs what the step costs.
"""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

MODULES = ("typika.workflow", "typika.contrasts", "typika.trajectory", "typika.typewriting",
           "typika.adaptations", "typika.letterforms", "typika.exporting", "typika.report.build",
           "typika.report.figures", "typika.atlas")  # fmt: skip
IMAGE = {
    "model": {"sides": [64], "dimensions": 8, "width": 16, "blocks": 1, "epochs": 2.0,
              "least_steps": 6},
    "rival": {"width": 16, "epochs": 2.0, "least_steps": 6},
    "select": {"at_least": 8, "controls": 4, "patch_size": 0.3},
    "artefacts": {"images": 1, "clusters": 1, "members": 2},
    "cluster": {"n_starts": 2, "n_clusters": 4},
    "significance": {"permutations": 19, "bootstrap": 20},
    "rare": {"starts": 20},
    "report": {"sheets": False},
}  # fmt: skip
PRINT = {"model": {"height": 32}, "training": {"steps": 2, "batch": 2, "checks": 1}}
YEAR = 365.0 * 24 * 3600
DONE, TOLD = 0, 3  # exit codes: finished; an error of typika's own, told
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link")

Kind = Literal["none", "kill", "torn", "full", "clock"]
Act = Callable[[Path], Any]


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and at which of the changes of files, counted from 1.

    kill: SIGKILL before the change. torn: the same, the file that is written cut in half. full:
    no space left, from there on. clock: the clock goes back by a year there, and forward by two
    at every third change after. after: kill at a time, in seconds, instead of at a change.
    """

    kind: Kind = "none"
    at: int = 0
    after: float | None = None


class Disk:
    """An audit hook that counts changes below a folder and fails at one of them."""

    def __init__(self, root: Path, fault: Fault) -> None:
        self.root, self.fault, self.count = str(root), fault, 0
        self.shift = 0.0

    def __call__(self, event: str, args: tuple) -> None:
        path = self._changed(event, args)
        if path is None or not path.startswith(self.root):
            return
        self.count += 1
        if self.count == self.fault.at and self.fault.kind in ("kill", "torn"):
            if self.fault.kind == "torn" and os.path.isfile(path):  # noqa: PTH113
                os.truncate(path, os.path.getsize(path) // 2)  # noqa: PTH202
            os.kill(os.getpid(), signal.SIGKILL)
        started = self.fault.at and self.count >= self.fault.at
        if self.fault.kind == "full" and started and event in ("open", "os.mkdir", "os.rename"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if self.fault.kind == "clock" and started:
            self.shift = YEAR if self.count % 3 == 0 else -YEAR

    @staticmethod
    def _changed(event: str, args: tuple) -> str | None:
        if event == "open" and isinstance(args[0], str | os.PathLike) and args[2] is not None:
            writes = args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            return os.fspath(args[0]) if writes else None
        return os.fspath(args[0]) if event in CHANGES and args[0] is not None else None


def collections(place: Path) -> None:
    """What the steps are about: twenty photographs under two labels, six lines of print."""
    from pictures import draw_photo
    from typika.collection.rendered_lines import render_lines, write_lines

    rows = ["file_name,label,year"]
    for label, name in enumerate(("discs", "triangles")):
        for number in range(10):
            draw_photo(place / "photos" / f"{name}-{number}.jpg", label, number, (64, 56))
            rows.append(f"{name}-{number}.jpg,{name},{1900 + 10 * number}")
    (place / "photos" / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
    write_lines(place / "lines", render_lines(6, seed=0, split="train", height=32))
    rows = [f"{n:04d}.png,d{n // 2},{'north' if n < 4 else 'south'}" for n in range(6)]
    table = "\n".join(["file_name,document,script", *rows]) + "\n"
    (place / "lines" / "metadata.csv").write_text(table, encoding="utf-8")


def _mined(stage: str) -> Act:
    def act(runs: Path) -> None:
        from typika import workflow

        config = workflow.configure(IMAGE)
        workflow.advance(
            runs.parent / "photos", runs / "image", config, last=stage, workers=1, device="cpu"
        )

    return act


def _contrast(runs: Path) -> None:
    from typika.contrasts import contrast

    contrast(runs / "image", "discs", workers=1, device="cpu")


def _along(runs: Path) -> None:
    from typika.trajectory import along

    along(runs / "image", "year", runs / "along", workers=1, device="cpu")


def _fit(runs: Path) -> None:
    from typika import typewriting

    config = typewriting.configure(PRINT)
    typewriting.fit(runs.parent / "lines", runs / "print", config=config, device="cpu")


def _adapt(runs: Path) -> None:
    from typika.adaptations import AdaptationConfig, adapt

    adapt(runs / "print", ["document", "script"], config=AdaptationConfig(method="instances"))


def _measure(runs: Path) -> None:
    from typika.letterforms import measure

    measure(runs / "print")


def _allographs(runs: Path) -> None:
    from typika.letterforms import allographs

    allographs(runs / "print", ["e"], 2)


def _atlas(runs: Path) -> None:
    from typika.atlas import atlas

    atlas(runs / "print")


def _export(runs: Path) -> None:
    from typika.exporting import export

    for format in ("alto", "csv", "svg"):
        export(runs / "print", format)


# In order: every step begins with what those before it of its chain left.
IMAGE_STAGES = ("collect", "encode", "train", "score", "select", "cluster", "evidence", "rare",
                "report")  # fmt: skip
STEPS: Mapping[str, Act] = {
    **{stage: _mined(stage) for stage in IMAGE_STAGES},
    "contrast": _contrast,
    "along": _along,
    "typewriter": _fit,
    "adapt": _adapt,
    "measure": _measure,
    "allographs": _allographs,
    "atlas": _atlas,
    "export": _export,
}


CHAINS = (tuple(STEPS)[:11], tuple(STEPS)[11:])


@dataclass(frozen=True)
class Outcome:
    """How a process ended: its exit code, negative a signal; changes of files; what it said."""

    code: int
    changes: int
    said: str
    seconds: float


def _child(step: str, runs: Path, fault: Fault, answer: Any) -> None:
    from typika import run
    from typika.errors import TypikaError

    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    sys.argv = ["typika", step]
    # How long a stage took is shown in reports and is no result.
    run.Run.seconds = lambda self: {  # type: ignore[method-assign]
        name: 1.0 for name, one in self.manifest["stages"].items() if "seconds" in one
    }
    disk = Disk(runs, fault)
    real = time.time
    time.time = lambda: real() + disk.shift
    sys.addaudithook(disk)
    code, said = DONE, ""
    try:
        STEPS[step](runs)
    except TypikaError as error:
        code, said = TOLD, str(error)
    except BaseException as error:
        code, said = 1, f"{type(error).__name__}: {error}"
    answer.send((disk.count, said))
    os._exit(code)


class Trials:
    """Steps carried out in forked processes, from snapshots of what comes before them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(list(MODULES))
        self.whole: dict[str, Outcome] = {}
        collections(place)
        (place / "empty").mkdir()

    def before(self, step: str) -> Path:
        """The snapshot that a step begins with."""
        names = next(chain for chain in CHAINS if step in chain)
        place = names.index(step)
        return self.place / (f"after-{names[place - 1]}" if place else "empty")

    def undisturbed(self, *steps: str) -> None:
        """Carry out the steps in order, and keep what each leaves."""
        for step in steps or STEPS:
            runs = self._begin(self.before(step), "runs")
            outcome = self.carry_out(step, runs)
            if outcome.code != DONE:
                raise RuntimeError(f"{step}: {outcome}")
            self.whole[step] = outcome
            runs.rename(self.place / f"after-{step}")

    def disturbed(self, step: str, fault: Fault) -> tuple[Outcome, Outcome, list[str]]:
        """A step under a fault, then the same step again; what of its files is different."""
        runs = self._begin(self.before(step), "runs")
        first = self.carry_out(step, runs, fault)
        again = self.carry_out(step, runs)
        different = differences(runs, self.place / f"after-{step}")
        shutil.rmtree(runs)
        return first, again, different

    def carry_out(self, step: str, runs: Path, fault: Fault | None = None) -> Outcome:
        """One step in a process of its own."""
        fault = fault or Fault()
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(target=_child, args=(step, runs, fault, theirs))
        started = time.monotonic()
        process.start()
        theirs.close()
        process.join(fault.after)
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        try:
            changes, said = ours.recv()
        except EOFError:
            changes, said = 0, ""
        return Outcome(process.exitcode or 0, changes, said, time.monotonic() - started)

    def _begin(self, snapshot: Path, name: str) -> Path:
        runs = self.place / name
        shutil.copytree(snapshot, runs)
        return runs


def differences(runs: Path, whole: Path) -> list[str]:
    """Names of files that are in one folder only or have other bytes there.

    Times in run.json and the date of a report are no results; locks and what a killed process
    left half-written neither.
    """
    one, other = contents(runs), contents(whole)
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder by their relative names, less what is no result."""
    return {
        path.relative_to(folder).as_posix(): _result(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def _result(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name == "run.json":
        manifest = json.loads(content)
        for stage in manifest["stages"].values():
            stage.pop("seconds", None)
            stage.pop("finished", None)
        return json.dumps(manifest).encode()
    if path.suffix == ".html":
        return re.sub(rb"\d{4}-\d\d-\d\d", b"DATE", content)
    return content
