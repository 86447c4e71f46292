# Everything a clone needs. Works with GNU make 3.81 and any sh, also where the path has a space.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input

# Pyright keeps to what the lock installed: its own script, its own node, no look at newer releases.
PYRIGHT := PYRIGHT_PYTHON_IGNORE_WARNINGS=1 PYRIGHT_PYTHON_GLOBAL_NODE=0 $(BIN)/pyright --pythonpath $(BIN)/python

.PHONY: help install demo dev test unit lint bench bench-quick accept newest schema format lock wheel clean

help: ## Print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
		while IFS='|' read -r name text; do printf '  make %-11s  %s\n' "$$name" "$$text"; done

install: .venv/installed ## Make .venv from requirements.lock, with all that developing needs

# The lock is complete and checked, so pip has nothing to resolve.
.venv/packages: requirements.lock
	@command -v "$(PYTHON)" >/dev/null 2>&1 || \
		{ echo "No $(PYTHON) found. Install Python 3.11 or newer, or name it: make install PYTHON=..." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11. Name a newer one: make install PYTHON=python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) lacks the venv module. Install it (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	rm -rf .venv
	"$(PYTHON)" -m venv .venv
	$(PIP) --no-deps --require-hashes -r requirements.lock
	@touch $@

.venv/installed: .venv/packages pyproject.toml
	$(PIP) --no-deps --no-index --no-build-isolation --editable .
	@touch $@

demo: install ## See it find a bottleneck in sample data
	$(BIN)/leo-telemetry demo

dev: install ## Run database, daemon, OTLP receiver and UI until Ctrl-C
	$(BIN)/leo-telemetry dev

# Much of it waits for processes, so there are more processes than cores. One that died is not replaced: pytest-xdist
# 3.8 would wait for ever for what the first one had done already.
# Whoever forbids Python to keep what it compiled would have each of some 3,000 processes compile it anew.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --dist loadscope --max-worker-restart 0

test: install ## Run all tests
	$(PYTEST) --numprocesses 5

unit: install ## Run the tests that need no server: about a minute
	$(PYTEST) --numprocesses 2 leo_telemetry_pipeline_tests/unit

lint: install ## Check style, types and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PYRIGHT)
	$(BIN)/lint-imports --no-logo

bench: install ## Measure every budget beside its reference; LARGEST=1: also with 10,000,000 spans
	@$(BIN)/python benchmarks/run.py $(if $(LARGEST),--largest)

bench-quick: install ## The same, small and with 1.5 x slack
	@$(BIN)/python benchmarks/run.py --quick

accept: install ## Measure what issues ask for at full size; it can be interrupted and goes on (MINUTES=60)
	@$(BIN)/python benchmarks/accept.py $(if $(MINUTES),--minutes $(MINUTES))

newest: install ## Try the newest Claude Code by hand: what differs from the tested version
	@$(BIN)/python -m leo_telemetry_pipeline_tests.claude.newest

schema: install ## Write migrations/schema.sql anew, after a migration was added
	@$(BIN)/python -m leo_telemetry_pipeline_tests.schema_dump

format: install ## Put the code into the house style
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: ## Solve requirements.lock anew from pyproject.toml
	@uv=$$(command -v uv || echo $(BIN)/uv); \
	"$$uv" pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-annotate --custom-compile-command 'make lock' --quiet --output-file requirements.lock

wheel: install ## Build sdist and wheel into dist/, without network
	$(BIN)/python -m build --no-isolation

clean: ## Remove what the other targets made
	rm -rf .venv dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache .tmp_dagster_home_*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
