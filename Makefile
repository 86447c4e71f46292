# Development targets. Works with GNU make 3.81 and any POSIX sh, also if the path contains a space.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input

# Pyright uses only what the lock file installed: its own script and Node.js, without checking for newer releases.
PYRIGHT := PYRIGHT_PYTHON_IGNORE_WARNINGS=1 PYRIGHT_PYTHON_GLOBAL_NODE=0 $(BIN)/pyright --pythonpath $(BIN)/python

.PHONY: help install demo dev test unit lint bench bench-quick accept newest schema format lock wheel clean

help: ## Print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
		while IFS='|' read -r name text; do printf '  make %-11s  %s\n' "$$name" "$$text"; done

install: .venv/installed ## Create .venv from requirements.lock, with all development tools

# The lock file is complete and hashed, so pip does not resolve dependencies.
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

demo: install ## Watch it find bottlenecks in sample data
	$(BIN)/leo-telemetry demo

dev: install ## Run database, daemon, OTLP receiver and UI until Ctrl-C
	$(BIN)/leo-telemetry dev

# Many tests wait for processes, so there are more workers than cores. Workers that died are not replaced, because
# pytest-xdist 3.8 would hang. Bytecode is always cached, or each of some 3,000 processes would compile everything.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --dist loadscope --max-worker-restart 0

test: install ## Run all tests
	$(PYTEST) --numprocesses 5

unit: install ## Run the tests that need no server, in about a minute
	$(PYTEST) --numprocesses 2 leo_telemetry_pipeline_tests/unit

lint: install ## Check style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PYRIGHT)
	$(BIN)/lint-imports --no-logo

bench: install ## Measure every budget against its reference; LARGEST=1: also with 10,000,000 spans
	@$(BIN)/python benchmarks/run.py $(if $(LARGEST),--largest)

bench-quick: install ## Run smaller benchmarks, with 1.5 x slack
	@$(BIN)/python benchmarks/run.py --quick

accept: install ## Run acceptance checks at full size; an interrupted run resumes (MINUTES=60)
	@$(BIN)/python benchmarks/accept.py $(if $(MINUTES),--minutes $(MINUTES))

newest: install ## Run the newest Claude Code by hand, and report differences from the tested version
	@$(BIN)/python -m leo_telemetry_pipeline_tests.claude.newest

schema: install ## Regenerate migrations/schema.sql, after adding a migration
	@$(BIN)/python -m leo_telemetry_pipeline_tests.schema_dump

format: install ## Format the code and apply lint fixes
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: ## Resolve requirements.lock again from pyproject.toml
	@uv=$$(command -v uv || echo $(BIN)/uv); \
	"$$uv" pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-annotate --custom-compile-command 'make lock' --quiet --output-file requirements.lock

wheel: install ## Build sdist and wheel into dist/, offline
	$(BIN)/python -m build --no-isolation

clean: ## Remove everything that the other targets created
	rm -rf .venv dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache .tmp_dagster_home_*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
