# Every target makes its own virtual environment; nothing is needed but Python 3.11 to 3.14.
.DEFAULT_GOAL := help
.PHONY: help demo run test quick hostile faults browser lint lock notebooks figures clean

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.14 python3.11 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
CONFIG ?= config/default.yaml
# uv takes a seventh of pip's time; pip, which knows of mirrors in its own settings, takes over where uv fails
install = $(BIN)/uv pip install --quiet --python $(BIN)/python $(1) || $(BIN)/python -m pip install --quiet $(1)
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --no-loadscope-reorder
export HF_HUB_DISABLE_TELEMETRY := 1
export DO_NOT_TRACK := 1
# uv leaves compiling to the first import; where Python may not keep the result, each start would compile torch again
unexport PYTHONDONTWRITEBYTECODE

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/installed: requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "facestats needs Python 3.11 to 3.14; say which: make demo PYTHON=/path/to/python3.13"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv 2>/dev/null || true
	$(call install,-r requirements.txt)
	$(call install,--no-deps --editable .)
	-@$(BIN)/facestats fetch --demo >/dev/null  # the networks that find faces; a failure is reported and not fatal
	@touch $@

demo: .venv/installed  ## the whole of facestats on drawn characters; report in data/demo/report/index.html
	$(BIN)/facestats run --demo

run: .venv/installed  ## the same on your pictures in data/raw
	$(BIN)/facestats run --config $(CONFIG)

notebooks: .venv/installed  ## open the notebooks on your project: make notebooks CONFIG=my.yaml
	$(BIN)/facestats notebooks --config $(CONFIG)

figures: .venv/installed  ## draw the figures of the README again, from the tables of make demo
	MPLBACKEND=Agg $(BIN)/python docs/figures.py

# threads that wait for work without sleeping take the processor from the other test processes
test quick: export OMP_WAIT_POLICY := PASSIVE
test quick: export OPENBLAS_NUM_THREADS := 1
test: .venv/installed  ## the whole test suite
	$(PYTEST)

quick: .venv/installed  ## the tests that take seconds
	$(PYTEST) -m "not slow"

hostile: .venv/installed  ## ten thousand damaged pictures and many more texts than in make test; some minutes
	$(BIN)/python -m tests.hostile.pictures --n 10000
	FACESTATS_HOSTILE_EXAMPLES=300 $(BIN)/python -m pytest -q tests/hostile

faults: .venv/installed  ## 500 kills, full disks, stops and damaged files; the tables are compared with those of an undisturbed run
	FACESTATS_FAULTS=500 $(BIN)/python -m pytest tests/faults -q

.venv/browser: .venv/installed
	@command -v chromium || command -v chromium-browser || command -v google-chrome \
		|| { test "$$(id -u)" = 0 && apt-get -qq update && apt-get -qq install -y chromium >/dev/null; } \
		|| $(BIN)/playwright install --with-deps chromium
	@touch $@

browser: .venv/browser  ## the page, the map and the labelling widget in a real browser; fetches the browser
	$(BIN)/python -m pytest -rs tests/surfaces/notebooks tests/surfaces/page \
		tests/surfaces/test_doors.py

lint: .venv/installed  ## ruff, import contract, types, stripped notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/nbstripout --verify notebooks/*.ipynb examples/*.ipynb

# Ray is left out: nothing here is tested with it. What torch alone needs (CUDA, 3 GB) is left out too, so that a torch
# without CUDA can be used: it says itself what it needs, in exact versions.
EXPORT := $(BIN)/uv export --quiet --frozen --no-header --no-annotate --no-hashes --no-emit-project --all-extras --no-extra ray
lock: .venv/installed  ## write uv.lock and requirements.txt from pyproject.toml; UPGRADE=--upgrade takes the newest versions
	$(BIN)/uv lock --default-index https://pypi.org/simple --python $(BIN)/python $(UPGRADE)
	@{ echo "# The tested versions for Python 3.11 to 3.14, written by: make lock"; \
		{ $(EXPORT) --prune torch; $(EXPORT) | grep '^torch=='; } | sort -f; } > requirements.txt

clean:  ## remove tables, crops and reports, never pictures
	rm -rf data/processed data/preprocessed data/report data/demo
