"""Benchmarks: each a module with `run() -> Result`; see `python -m benchmarks --help`."""
