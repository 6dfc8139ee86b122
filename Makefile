# make demo    from a bare machine to the report of the noisy-XOR study
# make test    the same set-up, then the tests
#
# The environment is .venv; stamps in .venv/.stamps say what has been done to it, so that a second
# run starts at once. PYTHON chooses the interpreter that the environment is made with.

PYTHON ?= python3
TESTS ?= tests
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test check bench lint docs clean
.DELETE_ON_ERROR:

help:
	@echo 'make setup   the environment in $(VENV), and CmdStan, BridgeStan and PolyChord'
	@echo 'make demo    set up, then the noisy-XOR study; its report is runs/xor/report.html'
	@echo 'make test    set up, then the tests (TESTS=..., JOBS=...)'
	@echo 'make check   style, types and the tests that need no toolchain'
	@echo 'make bench   set up, then the benchmarks'
	@echo 'make lint    style, docstrings, imports and types'
	@echo 'make docs    set up, run the lessons, then build the site; it is build/site/index.html'
	@echo 'make clean   remove the environment, caches and the site, not results nor the toolchain'

# Looking for what is missing takes a second, so the toolchain has no stamp that could be wrong.
setup: $(STAMPS)/test
	@$(BIN)/manymodes setup

# A study that was interrupted goes on; one that was finished is run anew.
demo: setup
	@$(BIN)/manymodes study xor --out runs/xor $(if $(wildcard runs/xor/report.html),--overwrite,--resume)

test: setup
	@echo 'running the tests on $(JOBS) processes'
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(TESTS)

bench: setup $(STAMPS)/bench
	@$(BIN)/python benchmarks/run.py

# Tests say by markers what they need; a test that has no marker does not see the toolchain.
check: lint $(STAMPS)/test
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder -m 'not toolchain and not slow' $(TESTS)

lint: $(STAMPS)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Lessons that ran before with the same code and programs are not run again.
docs: setup
	@$(BIN)/python docs/lessons.py
	@$(BIN)/python docs/live/build.py build/live
	@echo 'building the site, about a minute'
	@$(BIN)/python -m sphinx -W --keep-going -n -q docs build/site
	@echo 'the site is build/site/index.html'

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist docs/generated
	find python tests examples docs -name __pycache__ -prune -exec rm -rf {} +

# The stamps are written last: an environment whose making was interrupted has none and is made
# anew, and so is one that does not run or was moved, for its scripts name the folder it was made in.
USABLE := $(shell $(BIN)/python -c '' 2>/dev/null && cat $(STAMPS)/venv 2>/dev/null)

$(STAMPS)/venv: $(if $(filter $(CURDIR),$(USABLE)),,FORCE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "manymodes needs Python 3.11 or later, $(PYTHON) is" \
	    "$$($(PYTHON) --version 2>&1 | head -n 1); choose one with make PYTHON=..." >&2; exit 2; }
	@echo 'making the environment $(VENV) with $(PYTHON)'
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS)
	@echo $(CURDIR) >$@

$(STAMPS)/test $(STAMPS)/bench $(STAMPS)/dev: $(STAMPS)/%: pyproject.toml $(STAMPS)/venv
	@echo 'installing manymodes and what it needs (extra: $*), about a minute'
	@$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@

.PHONY: FORCE
FORCE:
