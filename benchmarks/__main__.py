"""Run benchmarks: `python -m benchmarks [NAME ...] [--write]`."""

from __future__ import annotations

import argparse
import importlib
import sys
import time

from benchmarks.record import Skip, write

QUICK = ("boxes", "startup", "determinism", "kill", "calls")
SLOW = (
    "demo",
    "artefacts",
    "clusters",
    "tiles",
    "steel",
    "xrays",
    "significance",
    "doersch",
    "contrast",
    "translation",
    "trends",
    "bias",
    "rare",
    "along",
    "scaling",
    "estimator",
    "agreement",
    "tiny",
    "planted",
    "whole_path",
    "bias_trained",
    "gpu",
    "typewriter_step",
    "typewriter_ablations",
    "typewriter_unsupervised",
    "typewriter_print",
    "typewriter_books",
    "typewriter_caroline",
    "typewriter_semi",
    "typewriter_demo",
    "adaptation",
    "script_types",
    "caroline_dates",
    "allographs",
    "xml_round_trip",
    "hand_font",
    "cipher",
    "fuzz",
    "fiftyone_loads",
    "million",
    "ray_overhead",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = f"{', '.join(QUICK)} (quick, the default), {', '.join(SLOW)} (minutes to an hour)"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--write", action="store_true", help="write a dated result file")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - {*QUICK, *SLOW}
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {names}")
    for name in arguments.names or QUICK:
        started = time.monotonic()
        try:
            result = importlib.import_module(f"benchmarks.{name}").run()
        except Skip as reason:
            print(f"{name} skipped: {reason}")
            continue
        if arguments.write:
            print(write(name, result, time.monotonic() - started), file=sys.stderr)
        for note in result.notes:
            print(note, file=sys.stderr)
        for figure in result.figures:
            print(figure.line(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
