"""Localisation on chest X-rays; see `benchmarks.localisation`."""

from benchmarks.localisation import run_set
from benchmarks.record import Result


def run() -> Result:
    return run_set("xrays")
