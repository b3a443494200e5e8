# Everything that is made goes below var/. Each target does its own set-up.
.PHONY: help setup demo test test-slow test-all coverage check bench figures mutants up down status clean
.DEFAULT_GOAL := help

unexport PYTHONDONTWRITEBYTECODE PYTHONHOME
export PYTHON
BIN := var/venv/bin
STACK := $(BIN)/python -m slipstream_stack
TESTS := not slow
# Stores are synced to the disk at every write; in memory that costs nothing.
ROOMY := $(shell test -w /dev/shm && df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 4000000 {print "/dev/shm"}')
PYTEST := $(if $(ROOMY),TMPDIR=$(ROOMY)) $(BIN)/pytest

help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install into var/venv, make folders, secrets and Airflow's database (PYTHON=python3.12 chooses the interpreter)
	@.ci/install shap
	@$(STACK) prepare

demo: up ## the whole loop on real flights, from the first batch to the retrained champion; leaves everything running
	@$(BIN)/python demo/run.py

up: setup ## start Airflow and the endpoint in the background, or what is missing of them (SLIPSTREAM_AIRFLOW_PORT, SLIPSTREAM_ENDPOINT_PORT)
	@$(STACK) up

down: ## stop them and verify that no process is left
	@if [ -x $(BIN)/python ]; then $(STACK) down; else echo "nothing is set up"; fi

status: ## show what runs and how well; fails unless all is healthy
	@if [ -x $(BIN)/python ]; then $(STACK) status; else echo "nothing is set up"; exit 1; fi

test: ## the tests: unit, contract, airflow, then end to end with a real Airflow and a real endpoint
	@.ci/install dev
	$(PYTEST) tests/unit tests/contract -n auto --dist worksteal -m "$(TESTS)" --durations=25
	$(BIN)/pytest tests/airflow -m "$(TESTS)"
	$(BIN)/pytest tests/e2e -m "$(TESTS)"

coverage: ## the lines and branches that the unit and contract tests run, of each file that has gaps
	@.ci/install dev
	@rm -rf var/coverage
	-$(PYTEST) tests/unit tests/contract -n auto --dist worksteal -m "$(TESTS)" -q --cov --cov-report=
	@$(BIN)/coverage report

test-slow: ## what `make test` leaves out of unit and contract: the whole of long tables, a hundred kills
	@.ci/install dev
	$(PYTEST) tests/unit tests/contract -n auto --dist worksteal -m slow --durations=25

test-all: ## the tests, and those that take minutes
	@$(MAKE) --no-print-directory test TESTS=

check: ## style, types, layering, freshness of the locks, the schema and the generated docs
	@.ci/install dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/locks.py
	$(BIN)/python docs/generate.py --check
	$(BIN)/python docs/signatures.py --check

bench: ## measure against the peers: make bench SUITE=pipeline; QUICK=1 only shows that it runs
	@.ci/install dev
	@$(BIN)/python -m bench $(SUITE)

figures: ## take the figures of the last full benchmarks over into the documentation
	@mkdir -p bench/figures && cp var/bench/*.json bench/figures/
	@$(BIN)/python docs/generate.py

mutants: ## whether the tests notice mistakes: 60 of them, drawn over the core (COUNT, SEED, JOBS)
	@.ci/install dev
	@$(BIN)/python bench/mutants $(or $(COUNT),60) $(or $(SEED),$(shell date +%s)) $(or $(JOBS),1)

clean: down ## stop the stack and remove var/, with its store, models and secrets
	@echo "removing var/ ($$(du -sh var 2>/dev/null | cut -f1)): the environment, the store, Airflow's database, secrets, logs"
	@rm -rf var
