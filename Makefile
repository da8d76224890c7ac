# bodyloop: `make demo` shows what it does, `make test` checks it. Both set themselves up in $(VENV).

VENV ?= .venv
PYTHON ?=
PIP_FLAGS ?=

BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install $(PIP_FLAGS)
SOURCES := src tools benchmarks

.PHONY: demo test lint test-slow chromium bench clean help
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile | expand -t 22

demo: $(VENV)/.with-demo ## set up, then fit a body to a photo: look into demo/
	$(BIN)/bodyloop demo -o demo

test: lint chromium ## set up, then lint, types, all quick tests and the examples
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(VENV)/.with-dev ## the long checks
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.with-dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# For the browser tests, which are skipped without. Installed where that needs no question; never fatal.
chromium:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing Chromium for the browser tests"; \
	    export DEBIAN_FRONTEND=noninteractive; \
	    timeout 60 apt-get update -qq >/dev/null 2>&1; \
	    timeout 300 apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null 2>&1; \
	fi; \
	command -v chromedriver >/dev/null || echo "no Chromium here: the browser tests will be skipped"

bench: $(VENV)/.with-dev ## the speed benchmarks, one after the other
	set -e; for script in benchmarks/*_speed.py; do echo "== $$script"; $(BIN)/python $$script; done

clean: ## remove the environment, the demo and all caches
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: install once, and again when the requirements change.
$(VENV)/.with-demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -c constraints.txt -e '.[demo]'
	touch $@

$(VENV)/.with-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.with-demo

# The first Python that runs, is 3.11 or 3.12, and can make environments (Debian packages that apart).
$(BIN)/python:
	@for python in $(PYTHON) python3.11 python3.12 python3 python; do \
	    "$$python" -c 'import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	        2>/dev/null || continue; \
	    echo "$$python -m venv $(VENV)"; \
	    exec "$$python" -m venv $(VENV); \
	done; \
	echo "bodyloop needs Python 3.11 or 3.12 with the venv module; found:" >&2; \
	for python in $(PYTHON) python3.11 python3.12 python3 python; do \
	    echo "  $$python: $$("$$python" --version 2>/dev/null || echo none)" >&2; \
	done; \
	echo "Install one (Debian, Ubuntu: apt install python3.11 python3.11-venv), or name it:" >&2; \
	echo "  make demo PYTHON=/path/to/python3.11" >&2; \
	exit 1
