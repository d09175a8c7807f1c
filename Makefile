# typika: `make help` lists the targets. Python 3.11 or newer; nothing else is needed but for the
# browser tests, which are skipped where there is no Chromium.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check bench docs wheel clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: $(READY) ## render four invented towns, mine them, write demo/run/report.html
	$(BIN)/typika demo demo

PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile

test: $(READY) ## run the tests, a process a core (at most eight)
	$(PYTEST) -m "not slow"

test-slow: $(READY) ## run those that take longest: several processes on one run, whole learned models
	$(PYTEST) -m slow

check: $(READY) ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY) ## run the quick benchmarks; `python -m benchmarks NAME` runs one
	$(BIN)/python -m benchmarks

docs: $(READY) ## build the documentation into site/
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	$(BIN)/mkdocs build --strict

wheel: $(READY) ## build the wheel into dist/
	$(BIN)/python -m build --wheel

clean: ## remove the environment, the demo and what tools left
	rm -rf $(VENV) demo dist build site .pytest_cache .mypy_cache .ruff_cache .hypothesis
