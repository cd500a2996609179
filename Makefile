# Everything is set up inside the checkout (.venv); nothing else on the machine is touched.
PYTHON ?= python3
BIN := .venv/bin

FOR ?=
OUTAGE ?=
GRID_OPERATOR ?=
FLEET ?=
YEARS ?=
DAYS ?=
SEED ?=
INPUTS ?=
TARGET ?=
ID ?=
ARCHITECTURE ?=
MAINTAINER ?=
KEY ?=
CHANNEL ?=

.PHONY: help setup demo profile test test-long test-system simulate bench bench-fleet picture fuzz check format deb repository clean

help:
	@echo "make demo [FOR=90s] [OUTAGE=1] [GRID_OPERATOR=1] [FLEET=20]  run the main job without hardware"
	@echo "make setup                      make .venv with all that is needed, in half a minute"
	@echo "make profile ID=maker/model     check one meter model and its recording, in seconds"
	@echo "make test                       pass the tests, in a quarter of an hour"
	@echo "make test-long                  pass those that take long, too: properties over new examples, random days, a month, a week"
	@echo "make test-system                boot Debian 12 and 13, and install, use, upgrade and remove the package there (as root)"
	@echo "make simulate [DAYS=200 | YEARS=10] [SEED=1]  run random gateway-days of faults under virtual time, and check the laws"
	@echo "make bench                      print the figures beside their bounds"
	@echo "make bench-fleet [HOMES=10000]  the same of a community's server: mosquitto, PostgreSQL"
	@echo "make fuzz [INPUTS=N] [TARGET=…]  feed every parser with damaged input"
	@echo "make check                      ruff and mypy"
	@echo "make format                     let ruff format the code"
	@echo "make deb [ARCHITECTURE=arm64]   build the Debian packages, into dist/"
	@echo "make repository KEY=… [CHANNEL=testing]  make a signed apt repository of dist/*.deb, in dist/repository"
	@echo "make picture                    make the pictures of the page in docs/ anew"
	@echo "make clean                      remove .venv and what was built"
	@echo "PYTHON=python3.13 before or after any of them: make .venv with that Python"

# A .venv whose making was interrupted, that was moved, or is not of the PYTHON asked for, is made anew.
WANTED := $(if $(filter file,$(origin PYTHON)),,$(PYTHON))
ifneq ($(shell $(PYTHON) .ci/environment.py check $(WANTED) 2>/dev/null),sound)
.PHONY: .venv/run.stamp
NEW_VENV = $(PYTHON) .ci/environment.py make
endif

.venv/run.stamp: pyproject.toml
	@$(NEW_VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/dev.stamp: .venv/run.stamp
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

# PostgreSQL's client, which only a fleet needs.
.venv/fleet.stamp: .venv/run.stamp
	$(BIN)/python -m pip install --quiet --editable '.[fleet]'
	touch $@

demo: $(if $(FLEET),.venv/fleet.stamp,.venv/run.stamp)
	@$(BIN)/meter-gateway demo $(if $(FOR),--for $(FOR)) $(if $(OUTAGE),--outage) $(if $(GRID_OPERATOR),--grid-operator) $(if $(FLEET),--fleet $(FLEET))

setup: .venv/dev.stamp

profile: .venv/dev.stamp
	@$(BIN)/python -m tests.profile $(ID)

# Six at a time on two processors, as many tests mostly wait; tests that share what takes long to
# make stay together (xdist_group).
test: .venv/dev.stamp
	$(BIN)/python -m pytest --numprocesses=6 --dist=loadgroup

test-long: .venv/dev.stamp
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadgroup -m long
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadgroup -m "hypothesis and not long" --hypothesis-profile=anew
	$(MAKE) simulate DAYS=$(or $(DAYS),200)
	$(BIN)/python -m tests.benchmarks month soak

# As root, with debootstrap, systemd-container, gnupg, gcc, qemu-user-static and
# gcc-arm-linux-gnueabihf: boots Debian 12 and 13; arm64 and armhf in a folder.
test-system: .venv/dev.stamp
	$(BIN)/python -m pytest tests/machines -m long

simulate: .venv/run.stamp
	@$(BIN)/python -m tests.simulation $(if $(YEARS),--years $(YEARS)) $(if $(DAYS),--days $(DAYS)) $(if $(SEED),--seed $(SEED))

picture: .venv/dev.stamp
	PICTURES=docs/images $(BIN)/python -m pytest --quiet tests/browser/test_pictures.py tests/browser/test_fleet_page.py

bench: .venv/dev.stamp
	$(BIN)/python -m tests.benchmarks

bench-fleet: .venv/dev.stamp
	$(BIN)/python -m tests.benchmarks fleet fleet_writing fleet_storage

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

deb: .venv/run.stamp
	@$(BIN)/python .ci/package.py build $(if $(ARCHITECTURE),--architecture $(ARCHITECTURE)) $(if $(MAINTAINER),--maintainer '$(MAINTAINER)')

# KEY: the fingerprint of a key of gpg's that signs it.
repository:
	@$(PYTHON) .ci/repository.py --key '$(KEY)' --channel $(or $(CHANNEL),stable) dist/*.deb

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
