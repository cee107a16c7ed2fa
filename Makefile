# Tasktape: `make help` lists what there is.
#
# Everything is installed into $(VENV), from files that pin each package by hash. Stamps in $(VENV) remember
# what has been done, so that each target costs nothing the second time.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
NODE_BIN := node_modules/.bin

MADE := $(VENV)/.made
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
PROJECT := $(VENV)/.project
NODE := node_modules/.installed

.PHONY: help
help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(RUNTIME) $(PROJECT) ## Make the virtual environment and install what running needs
	@echo "Tasktape is set up. Start it with: make run"

.PHONY: run
run: $(RUNTIME) $(PROJECT) ## Start everything in the foreground; Ctrl-C stops it; ARGS="--port 9000" passes options
	@exec $(BIN)/tasktape up $(ARGS)

.PHONY: test
test: system-packages check ## Install what tests need, then run all checks and all tests; ARGS="-n 0 -k hub" passes options
	@# Tests start hundreds of Python processes: each would compile everything again, also if images say so.
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadfile $(ARGS)

.PHONY: check
check: $(DEV) $(PROJECT) $(NODE) ## Formatting, lint, types, import rules, generated files, schemas of events
	@$(MAKE) --no-print-directory --jobs=2 --output-sync check-types check-code check-page check-imports check-generated

.PHONY: check-types check-code check-page check-imports check-generated
check-types:
	$(BIN)/mypy

check-code:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

check-page:
	$(NODE_BIN)/tsc --project api/pages

check-imports:
	$(BIN)/lint-imports

check-generated:
	$(BIN)/python -m api.contract.openapi --check
	$(BIN)/python -m api.contract.asyncapi --check
	$(BIN)/python -m api.contract.typescript --check
	$(BIN)/python -m api.contract.task_defaults --check
	$(BIN)/python -m api.contract.event_schemas --check
	$(BIN)/python scripts/cli_reference.py --check

.PHONY: format
format: $(DEV) $(PROJECT) $(NODE) ## Format the code, mend what the linter can, write the generated files
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m api.contract.openapi --write
	$(BIN)/python -m api.contract.asyncapi --write
	$(BIN)/python -m api.contract.typescript --write
	$(BIN)/python -m api.contract.task_defaults --write
	cp node_modules/swagger-ui-dist/swagger-ui-bundle.js node_modules/swagger-ui-dist/swagger-ui.css api/docs/swagger/
	$(BIN)/python scripts/cli_reference.py --write
	$(BIN)/python -m api.contract.event_schemas --write

.PHONY: wheels
wheels: $(RUNTIME) ## Build the wheels of the server and of the client into dist/
	@rm -rf build client/build
	@$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist ./client .

.PHONY: bench
bench: $(DEV) $(PROJECT) ## Run the benchmarks; each prints a table (half an hour or so)
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: lock
lock: $(DEV) ## Choose new versions of all dependencies and pin them
	sh scripts/lock $(BIN)/uv
	npm update --package-lock-only --ignore-scripts

.PHONY: clean
clean: ## Remove the virtual environment, node packages and caches; your data stays
	rm -rf $(VENV) node_modules build dist *.egg-info client/build client/*.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: system-packages
system-packages:
	@sh scripts/need chromium chromium
	@PATH="$$PATH:/usr/sbin" sh scripts/need nginx nginx

$(MADE): scripts/make-venv
	@sh scripts/make-venv $(VENV)
	@touch $@

$(RUNTIME): requirements.lock $(MADE)
	@echo "Installing what requirements.lock pins (once; half a minute or so) ..."
	@$(PIP) install --quiet --require-hashes -r requirements.lock
	@touch $@

$(DEV): requirements-dev.lock $(RUNTIME)
	@echo "Installing what requirements-dev.lock pins ..."
	@$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

$(PROJECT): pyproject.toml client/pyproject.toml client/VERSION $(RUNTIME)
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable client --editable .
	@touch $@

$(NODE): package.json package-lock.json
	@sh scripts/need node nodejs
	@sh scripts/need npm npm
	@npm ci --ignore-scripts --loglevel=error
	@touch $@
