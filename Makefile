# Everything is set up inside the checkout (.venv); nothing else on the machine is touched.
PYTHON ?= python3
BIN := .venv/bin

FOR ?=
OUTAGE ?=

.PHONY: help demo test bench check format ci clean

help:
	@echo "make demo [FOR=90s] [OUTAGE=1]  run the main job without hardware"
	@echo "make test                       pass the tests"
	@echo "make bench                      print the figures beside their bounds"
	@echo "make check                      ruff and mypy"
	@echo "make format                     let ruff format the code"

.venv/run.stamp: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/dev.stamp: .venv/run.stamp
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

demo: .venv/run.stamp
	@$(BIN)/meter-gateway demo $(if $(FOR),--for $(FOR)) $(if $(OUTAGE),--outage)

test: .venv/dev.stamp
	$(BIN)/python -m pytest

bench: .venv/dev.stamp
	$(BIN)/python -m tests.benchmarks

check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
