# Everything that a clone needs. Works with GNU make 3.81 and any sh, also in a path with a space.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input

# Run the Pyright and the Node that the lock installed, without a check for newer releases.
PYRIGHT := PYRIGHT_PYTHON_IGNORE_WARNINGS=1 PYRIGHT_PYTHON_GLOBAL_NODE=0 $(BIN)/pyright --pythonpath $(BIN)/python

.PHONY: help install demo dev test unit check coverage hooks lint bench bench-quick accept newest reference schema
.PHONY: screenshots format lock wheel clean

help: ## Print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
		while IFS='|' read -r name text; do printf '  make %-11s  %s\n' "$$name" "$$text"; done

install: .venv/installed ## Create .venv from requirements.lock, with everything for development

# The lock is complete and has hashes, so there is nothing to resolve. uv takes a third of pip's time, but only pip
# reads pip's configuration on this machine.
.venv/packages: requirements.lock
	@command -v "$(PYTHON)" >/dev/null 2>&1 || \
		{ echo "No $(PYTHON) found. Install Python 3.11 or newer, or name it: make install PYTHON=..." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11. Name a newer one: make install PYTHON=python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) lacks the venv module. Install it (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	rm -rf .venv
	"$(PYTHON)" -m venv .venv
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock >.venv/uv.lock
	$(PIP) --no-deps --require-hashes -r .venv/uv.lock
	$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --compile-bytecode --no-deps --require-hashes \
		-r requirements.lock || { echo "uv cannot install the packages here: using pip, which takes about a minute" >&2; \
		$(PIP) --no-deps --require-hashes -r requirements.lock; }
	@touch $@

.venv/installed: .venv/packages pyproject.toml
	$(PIP) --no-deps --no-index --no-build-isolation --editable .
	@touch $@

demo: install ## Find planted slowdowns in generated data
	$(BIN)/leo-telemetry demo

dev: install ## Run database, daemon, OTLP receiver and UI until Ctrl-C
	$(BIN)/leo-telemetry dev

# Tests mostly wait for processes, so there are more workers than cores. A worker that died is not replaced:
# pytest-xdist 3.8 would wait forever for the tests that the dead one had finished. PYTHONDONTWRITEBYTECODE is unset, so
# that 3,000 processes do not compile the same files again.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --dist loadscope --max-worker-restart 0

test: install ## Run all tests
	$(PYTEST) --numprocesses 5

unit: install ## Run the tests that need no server: about a minute
	$(PYTEST) --numprocesses 3 leo_telemetry_pipeline_tests/unit

check: lint unit ## Lint and run the unit tests: before every commit

coverage: install ## Show which lines the unit tests never run; TESTS=... chooses other tests
	$(BIN)/python -m coverage run --branch --source leo_telemetry_pipeline -m pytest $(or $(TESTS),leo_telemetry_pipeline_tests/unit)
	$(BIN)/python -m coverage report --skip-covered --show-missing

hooks: install ## Run ruff, pyright and import-linter before each git commit
	$(BIN)/pre-commit install

lint: install ## Check style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PYRIGHT)
	$(BIN)/lint-imports --no-logo

bench: install ## Compare performance with references and budgets; LARGEST=1: also with 10,000,000 spans
	@$(BIN)/python benchmarks/run.py $(if $(LARGEST),--largest)

bench-quick: install ## Run smaller benchmarks, with 1.5 times the budgets
	@$(BIN)/python benchmarks/run.py --quick

accept: install ## Measure what issues require, at full size; resumes after an interruption (MINUTES=60)
	@$(BIN)/python benchmarks/accept.py $(if $(MINUTES),--minutes $(MINUTES))

reference: install ## Write docs/cli.md and docs/schema.md from the commands and a migrated database
	@$(BIN)/python -m tools.reference

screenshots: install ## Take docs/images/*.png from the demo with Chromium: about 3 minutes
	@$(BIN)/python -m tools.screenshots

newest: install ## Compare the newest Claude Code with the tested version
	@$(BIN)/python -m leo_telemetry_pipeline_tests.claude.newest

schema: install ## Write migrations/schema.sql, after adding a migration
	@$(BIN)/python -m leo_telemetry_pipeline_tests.schema_dump

format: install ## Fix style automatically
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# launchers.lock has only what requirements.lock lacks; the tests that need it install it beside that.
LOCKED := --universal --python-version 3.11 --generate-hashes --upgrade --no-annotate --quiet
LOCKED += --custom-compile-command 'make lock'

lock: ## Update requirements.lock from pyproject.toml, and the tests' launchers.lock
	@uv=$$(command -v uv || echo $(BIN)/uv); \
	"$$uv" pip compile pyproject.toml --extra dev $(LOCKED) --output-file requirements.lock && \
	printf '%s\n' 'dagster-celery[redis]' dagster-k8s | "$$uv" pip compile - --constraints requirements.lock $(LOCKED) \
		$$(sed -n 's/^\([a-z0-9.-]*\)==.*/--no-emit-package \1/p' requirements.lock) \
		--output-file leo_telemetry_pipeline_tests/launchers.lock

wheel: install ## Build sdist and wheel into dist/, without network
	$(BIN)/python -m build --no-isolation

clean: ## Remove everything that the other targets create
	rm -rf .venv .coverage dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache .tmp_dagster_home_*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
