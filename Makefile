# Everything runs in .venv, which is made on first use. PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo
# On all cores; what must not run side by side is said in tests/conftest.py.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 8

.PHONY: demo quick test check lint types faults bench clean help

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/run  ## set-up, and a whole run on the embedded data set (no download)
	$(BIN)/python evolution.py --dataset digits --generations 3 --population 8 --epochs 8 --batch_size 32 \
		--output_dir $(DEMO) --overwrite

quick: lint types  ## lint, types, and the tests that are quick
	$(PYTEST) -m "not slow and not apart and not long"

test: .venv/dev  ## set-up, and the whole test suite
	$(PYTEST)

check: lint types test  ## what CI runs: lint, types, tests

lint: .venv/dev  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev  ## mypy --strict
	$(BIN)/mypy

faults: .venv/dev  ## the full counts of the fault tests (hours); PROMISE=, COUNT=, SEED= run a part
	$(BIN)/python -m tests.faults $(if $(PROMISE),--promise $(PROMISE)) $(if $(COUNT),--count $(COUNT)) \
		$(if $(SEED),--seed $(SEED))

bench: .venv/bench  ## the CPU benchmarks, in short (17 minutes; leave the machine alone meanwhile)
	$(BIN)/python benchmarks/engine_speed.py
	$(BIN)/python benchmarks/schedule.py
	$(BIN)/python benchmarks/memory.py --networks 4
	$(BIN)/python benchmarks/training_speed.py --rounds 3
	$(BIN)/python benchmarks/orchestration.py
	$(BIN)/python benchmarks/accuracy.py --seeds 2 --networks 10 --skip fashion_mnist
	$(BIN)/python benchmarks/time_to_accuracy.py --seeds 1 --max_minutes 3

.venv/run: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, found " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/dev: requirements-dev.txt requirements-extras.txt .venv/run
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

.venv/bench: benchmarks/requirements.txt .venv/run
	$(BIN)/pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	touch $@

clean:  ## remove .venv, caches and the demo's run
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis $(DEMO)
