# Every target CI runs, and nothing that only works on one machine.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Half of a test's time is waiting, for processes, polls and leases: two workers to a core.
WORKERS ?= 4

# tests/contract and test_many_workers have a Postgres in any run.
WITH_DATABASE    := tests/unit/ledger tests/unit/scheduler tests/faults tests/integration/llm_ledger/cli
WITHOUT_DATABASE := tests/unit/ledger/pricing tests/unit/scheduler/providers $(patsubst %,tests/faults/test_%.py, \
                    clock_jumps crash_command_line cut_results database_busy disk_full endpoint_faults lost_responses \
                    many_workers postgres_breaks postgres_restarts) tests/unit/ledger/test_tampering.py \
                    $(patsubst %,tests/integration/llm_ledger/cli/test_cli_%.py,by_hand lists program run submit)

HOSTS     := .venv-hosts-1.5 .venv-hosts-0.3
WITH_HOST := llm_optimization/tests tests/unit/scheduler/providers tests/integration/scheduler/providers
ALL_INTEGRATIONS := llm_optimization/tests/test_provider_calls.py
# What meets neither LangChain nor the SDK is the same on every host.
SAME_ANYWHERE := $(patsubst %,llm_optimization/tests/test_%.py,capabilities config exceptions public_names cache_placement \
                 cache_tokens recording_events recording_recorder batching_engine)
# langchain-tests 0.3 loads a class that langchain-core 0.3.86 loads only when told to: the bare model fails, too.
LEFT_OUT_.venv-hosts-0.3 := $(patsubst %,--deselect=llm_optimization/tests/test_standard_unit.py::%::test_serdes,TestBare TestWrapped)

.DEFAULT_GOAL := help
.PHONY: help demo test test-postgres hosts compat soak mutations lint format bench constraints clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk 'BEGIN {FS = ":.*## "} {printf "  make %-13s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "llm-ledger needs Python 3.11 or newer: make PYTHON=python3.12 …"; exit 1; }
	@echo "Installing into $(VENV) …" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[all,dev]'
	@touch $@

demo: $(READY) ## Run the whole loop without a key: simulator, 200 questions, a crash, the bill
	@$(BIN)/llm-ledger demo

test: $(READY) ## Run every test, with branch coverage, then 5,000 simulated stories without
	@$(BIN)/coverage erase
	@$(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term
	@$(BIN)/python -m tests.simulation --seeds 0-5000 --processes 2

test-postgres: $(READY) ## Run the tests that need a ledger again, on a real Postgres
	@$(BIN)/python -m pytest -n $(WORKERS) --database postgres $(WITH_DATABASE) $(addprefix --ignore=,$(WITHOUT_DATABASE))

.venv-%/.ready: compat/%.txt pyproject.toml
	@echo "Installing into $(@D) …" >&2
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --requirement $< --editable .
	@$(@D)/bin/python -m pip check
	@touch $@

hosts: $(addsuffix /.ready,$(HOSTS))

compat: ## Run what meets LangChain or the SDK again, on what hosts pin: LangChain 1.5.3 and 0.3, anthropic 0.x
	@$(MAKE) --no-print-directory --jobs 2 hosts
	@$(foreach host,$(HOSTS),echo "$(host):" && $(host)/bin/python -m pytest -q -n $(WORKERS) -m "not soak and not integrations" \
	  $(WITH_HOST) $(addprefix --ignore=,$(ALL_INTEGRATIONS) $(SAME_ANYWHERE)) $(LEFT_OUT_$(host)) &&) true

soak: $(READY) ## Run the long tests: 100,000 simulated stories, every tampering, 200,000 tailed events, a minute of restarts
	@$(BIN)/python -m tests.simulation --seeds 0-100000 --processes 2
	@LLM_LEDGER_TEST_EVENTS=200000 $(BIN)/python -m pytest -m "" -n 2 tests/soak tests/contract/test_tailing_reader.py
	@$(BIN)/python -m pytest -m soak -n 0 tests/faults
	@$(BIN)/python -m pytest -m soak -n 0 --database postgres tests/faults/test_crash_matrix.py
	@$(BIN)/python -m pytest -m "" -n 2 --database postgres tests/unit/ledger/test_tampering.py

mutations: $(READY) ## Plant each bug of tests/mutations/planted.toml, and see the tests catch it
	@$(BIN)/python -m tests.mutations

lint: $(READY) ## Format check, lint, types, layering
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(READY) ## Format the tree and apply safe lint fixes
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(READY) ## Measure against the bare driver, eventsourcing and the bare SDK; write docs/benchmarks.md
	@$(BIN)/python -m bench

constraints: $(READY) ## Pin what is installed now into constraints.txt (names and versions only)
	@$(BIN)/python -m pip freeze --exclude-editable > constraints.txt

clean: ## Remove the virtual environment and caches
	@rm -rf $(VENV) $(HOSTS) .mypy_cache .ruff_cache .pytest_cache htmlcov .coverage .coverage.*
