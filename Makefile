# Every target works on a fresh clone: what it needs is installed first, into folders of this checkout.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LABEL_STUDIO_VENV := .venv-label-studio
LABEL_STUDIO_PORT ?= 8080
# Images below this folder can be shown; each project still opens only the folders that it needs.
LABEL_STUDIO_DOCUMENT_ROOT ?= $(CURDIR)

export NO_ALBUMENTATIONS_UPDATE = 1
export PREFECT_SERVER_ANALYTICS_ENABLED = false
export DO_NOT_TRACK = 1

.PHONY: help install demo test test-slow lint audit label-studio label-studio-install clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 24

install: $(VENV)/.installed ## create the environment in .venv

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

label-studio-install: $(LABEL_STUDIO_VENV)/.installed ## install the Label Studio server in an environment of its own

$(LABEL_STUDIO_VENV)/.installed: constraints-label-studio.txt
	$(PYTHON) -m venv $(LABEL_STUDIO_VENV)
	$(LABEL_STUDIO_VENV)/bin/python -m pip install --quiet --constraint constraints-label-studio.txt label-studio
	touch $@

label-studio: label-studio-install ## start Label Studio on this machine; Ctrl-C stops it
	@$(LABEL_STUDIO_VENV)/bin/python scripts/label_studio.py --port $(LABEL_STUDIO_PORT) --document-root '$(LABEL_STUDIO_DOCUMENT_ROOT)'

demo: install ## generate images and run two full cycles on them; the last line is the report's path
	$(BIN)/crosscheck demo

# A test whose process dies has failed; left alone, pytest-xdist would start a process and that test again for ever.
test: install label-studio-install ## every test but the slow ones
	$(BIN)/python -m pytest -m 'not slow' --numprocesses 3 --dist loadscope --no-loadscope-reorder --max-worker-restart 0

test-slow: install label-studio-install ## the tests that take over a minute
	$(BIN)/python -m pytest -m slow

audit: install ## look the pinned packages up among known vulnerabilities; fails where it cannot; needs the network
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet pip-audit
	build/audit/bin/pip-audit --strict --requirement constraints.txt --no-deps --disable-pip

lint: install ## what pre-commit and CI check beside the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
