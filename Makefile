# Everything is set up inside the checkout (.venv); nothing else on the machine is touched.
PYTHON ?= python3
BIN := .venv/bin

FOR ?=
OUTAGE ?=
YEARS ?=
DAYS ?=
SEED ?=
INPUTS ?=
TARGET ?=

.PHONY: help demo test simulate bench fuzz check format ci clean

help:
	@echo "make demo [FOR=90s] [OUTAGE=1]  run the main job without hardware"
	@echo "make test                       pass the tests"
	@echo "make simulate [DAYS=200 | YEARS=10] [SEED=1]  run random gateway-days of faults under virtual time, and check the laws"
	@echo "make bench                      print the figures beside their bounds"
	@echo "make fuzz [INPUTS=N] [TARGET=…]  feed every parser with damaged input"
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

# On two processors; tests that share what takes long to make stay together (xdist_group).
test: .venv/dev.stamp
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadgroup

simulate: .venv/dev.stamp
	@$(BIN)/python -m tests.simulation $(if $(YEARS),--years $(YEARS)) $(if $(DAYS),--days $(DAYS)) $(if $(SEED),--seed $(SEED))

bench: .venv/dev.stamp
	$(BIN)/python -m tests.benchmarks

.venv/fuzz.stamp: .venv/dev.stamp
	$(BIN)/python -m pip install --quiet --group fuzz
	touch $@

fuzz: .venv/fuzz.stamp
	@$(BIN)/python -m tests.fuzz $(if $(INPUTS),--inputs $(INPUTS)) $(TARGET)

check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
