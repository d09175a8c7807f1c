"""200 random kills over all stages, then the same command: the same bytes in every file?"""

from __future__ import annotations

import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.record import Result, at_least

KILLS = 200


def run() -> Result:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from faults import DONE, STEPS, Fault, Trials

    rng = random.Random(0)
    same, killed, by_step = 0, 0, Counter[str]()
    lost: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        trials = Trials(Path(place))
        trials.undisturbed()
        for number in range(KILLS):
            step = list(STEPS)[number % len(STEPS)]
            whole = trials.whole[step]
            fault = Fault(rng.choice(["kill", "torn"]), rng.randint(1, whole.changes))
            if number % 4 == 3:  # at a random time instead, between changes too
                fault = Fault(after=rng.uniform(0.05, 0.95) * whole.seconds)
            first, again, different = trials.disturbed(step, fault)
            killed += first.code == -9
            by_step[step] += first.code == -9
            same += again.code == DONE and not different
            if again.code != DONE or different:
                lost.append(f"{step}, {fault}: {again.said} {different}")
    notes = (
        f"{killed} of {KILLS} commands were killed before they ended; by step: "
        + ", ".join(f"{name} {count}" for name, count in by_step.items()),
        *lost,
    )
    return Result(figures=(at_least("kill", same, KILLS, f"of {KILLS} runs"),), notes=notes)
