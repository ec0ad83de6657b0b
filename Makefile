# make demo | test | check | trackers | torture | bench | bench-timm | honesty | cuda  (nothing installed beforehand but Python 3.11+ and make)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: demo test check trackers torture bench bench-timm honesty cuda clean

demo: $(VENV)/.runtime
	$(BIN)/vitexp ablate pos-emb --dataset digits --seeds 3$(if $(OUT), --out $(OUT))

# On all cores: each test has one thread.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist worksteal

test: $(VENV)/.dev
	$(PYTEST)

check: $(VENV)/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(PYTEST)

# What all trackers' own packages read back, in an environment beside the first: Trackio wants an older pillow.
TRACKERS_VENV ?= .venv-trackers
trackers: $(TRACKERS_VENV)/.installed
	$(TRACKERS_VENV)/bin/python -m pytest tests/trackers -rs

# Of the program and its workers, on the CPU and where there is one on CUDA.
torture: KILLS ?= 200
torture: SEED ?= 1
torture: $(VENV)/.dev
	$(BIN)/python -m tools.torture $(KILLS) $(SEED)

bench: $(VENV)/.bench
	$(BIN)/python -m tools.bench $(if $(PARTS),--parts $(PARTS)) $(if $(DEVICE),--device $(DEVICE))

# How often verdicts are wrong, on made-up tables of which the truth is known.
honesty: $(VENV)/.runtime
	$(BIN)/python -m tools.honesty $(if $(TABLES),--tables $(TABLES)) $(if $(OUT),--out $(OUT))
	$(BIN)/python -m tools.honesty.folds $(if $(TABLES),--tables $(TABLES)) $(if $(OUT),--out $(OUT))

# Beside timm, too, which wants a torchvision and so a torch of its own: 5.5 GB in another environment.
TIMM_VENV ?= .venv-timm
TIMM_PINS := torch==2.14.1 torchvision==0.29.1 timm==1.0.31
bench-timm: $(TIMM_VENV)/.installed
	$(TIMM_VENV)/bin/python -m tools.bench --parts peers --name benchmark_cpu_timm $(if $(OUT),--out $(OUT))

# make cuda DATA=folder MINUTES=9 [PROOF=cuda-proof] [BOXES=canary,speed,grid,tests] [COMMIT=...]
# A Python that has what is needed, as on a machine without a network, is used as it is.
NEEDED := torch numpy scipy pandas matplotlib typer rich PIL pyarrow safetensors sklearn
cuda:
	@if $(PYTHON) -c 'import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, sys.argv[1:])))' $(NEEDED); \
	  then python=$(PYTHON); else $(MAKE) $(VENV)/.bench || exit 1; python=$(BIN)/python; fi; \
	$$python -m tools.cuda_proof --data "$(DATA)" --minutes $(or $(MINUTES),9) \
	  --out "$(or $(PROOF),cuda-proof)" $(if $(BOXES),--boxes $(BOXES)) $(if $(COMMIT),--commit $(COMMIT))

clean:
	rm -rf $(VENV) $(TIMM_VENV) $(TRACKERS_VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache

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

# vit-pytorch asks for torchvision, of which nothing is needed here.
$(VENV)/.bench: $(VENV)/.dev
	$(PIP) install --constraint constraints.txt --editable '.[bench]'
	$(PIP) install --constraint constraints.txt --no-deps vit-pytorch
	@touch $@

$(TRACKERS_VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TRACKERS_VENV)
	grep -v '^pillow==' constraints.txt > $(TRACKERS_VENV)/constraints.txt
	$(TRACKERS_VENV)/bin/python -m pip --quiet --disable-pip-version-check install \
	  --constraint $(TRACKERS_VENV)/constraints.txt --editable '.[dev,tensorboard,wandb,mlflow,trackio]'
	@touch $@

$(TIMM_VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TIMM_VENV)
	grep -v '^torch==' constraints.txt > $(TIMM_VENV)/constraints.txt
	$(TIMM_VENV)/bin/python -m pip --quiet --disable-pip-version-check install \
	  --constraint $(TIMM_VENV)/constraints.txt $(TIMM_PINS) --editable '.[bench]'
	$(TIMM_VENV)/bin/python -m pip --quiet --disable-pip-version-check install \
	  --constraint $(TIMM_VENV)/constraints.txt --no-deps vit-pytorch
	@touch $@
