"""kill -9 at ten random moments of `typika mine`, then the same command: the same bytes?"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import small
from benchmarks.record import Result, at_least
from typika import config

KILLS = 10


def run() -> Result:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        images = small.collection(folder / "images")
        (folder / "small.toml").write_text(config.as_toml(small.recipe()))

        def command(out: Path) -> list[str]:
            return [sys.executable, "-m", "typika", "mine", str(images),
                    "--recipe", str(folder / "small.toml"), "--out", str(out)]  # fmt: skip

        started = time.monotonic()
        subprocess.run(command(folder / "whole"), check=True, capture_output=True)
        whole = time.monotonic() - started
        rng = random.Random(0)
        same, moments = 0, []
        for number in range(KILLS):
            out = folder / f"killed-{number}"
            moment = rng.uniform(0.1, 0.95) * whole
            process = subprocess.Popen(
                command(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
            process.wait()
            moments.append(f"{moment:.1f}")
            subprocess.run(command(out), check=True, capture_output=True)
            same += small.tables(out) == small.tables(folder / "whole")
    note = f"An undisturbed run takes {whole:.1f} s; kills at {', '.join(moments)} s."
    return Result(figures=(at_least("kill", same, KILLS, f"of {KILLS} runs"),), notes=(note,))
