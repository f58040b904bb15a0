# Everything runs in .venv, which is made on first use. PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo

.PHONY: demo test check faults lint types clean help

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/run  ## set-up, and a whole run on the embedded data set (no download)
	$(BIN)/python evolution.py --dataset digits --generations 3 --population 8 --epochs 8 --batch_size 32 \
		--output_dir $(DEMO) --overwrite

test: .venv/dev  ## set-up, and the whole test suite
	$(BIN)/python -m pytest

check: lint types test  ## what CI runs: lint, types, tests

faults: .venv/dev  ## the full counts of the fault tests (hours); PROMISE=, COUNT=, SEED= run a part
	$(BIN)/python -m tests.faults $(if $(PROMISE),--promise $(PROMISE)) $(if $(COUNT),--count $(COUNT)) \
		$(if $(SEED),--seed $(SEED))

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev
	$(BIN)/mypy

.venv/run: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, found " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/dev: requirements-dev.txt .venv/run
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

clean:  ## remove .venv, caches and the demo's run
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis $(DEMO)
