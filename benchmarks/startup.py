"""How long `import typika` and `typika --help` take, beside an empty interpreter."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.record import Result, at_most


def seconds(*command: str) -> float:
    times = []
    for _ in range(7):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def run() -> Result:
    empty = seconds(sys.executable, "-c", "pass")
    imported = seconds(sys.executable, "-c", "import typika")
    helped = seconds(sys.executable, "-m", "typika", "--help")
    return Result(
        figures=(
            at_most("import-typika", imported, 0.5, "s"),
            at_most("startup", helped, 0.5, "s"),
        ),
        notes=(f"An empty interpreter takes {empty:.3f} s.",),
    )
