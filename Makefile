# make demo | test | check | torture | bench        (nothing installed beforehand but Python 3.11+ and make)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: demo test check torture bench clean

demo: $(VENV)/.runtime
	$(BIN)/vitexp ablate pos-emb --dataset digits --seeds 3$(if $(OUT), --out $(OUT))

test: $(VENV)/.dev
	$(BIN)/python -m pytest

check: $(VENV)/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m pytest

# Of the program and its workers, on the CPU and where there is one on CUDA.
torture: KILLS ?= 200
torture: SEED ?= 1
torture: $(VENV)/.dev
	$(BIN)/python -m tests.torture $(KILLS) $(SEED)

bench: $(VENV)/.dev
	$(BIN)/python tests/bench.py

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@
