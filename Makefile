# Each target sets up what it needs: `make run` on a fresh machine needs Python >= 3.11, pip and make, nothing else.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
CONFIG ?= config/config.yaml
TEST_PROCESSES ?= 2
PACKAGE_PYTHON ?= .venv-bench/bin/python
DATA ?= $(HSIPIPE_MIRROR)
# GPUs of this machine; with none, jobs made for a GPU share the cores instead of queueing for one.
GPUS ?= $(shell nvidia-smi -L 2>/dev/null | grep -c '^GPU ')

.PHONY: run test env lint format lock report bench docs fault-test slurm-test

run: env  ## run the demo: simulated scenes, every denoiser, tables, figures, report
	$(BIN)/snakemake --configfile $(CONFIG) --resources gpu=$(GPUS)
	$(BIN)/snakemake --configfile $(CONFIG) --report report.zip --quiet

env: .venv/.ready

# Compiled when installed: where PYTHONDONTWRITEBYTECODE is set, as in many containers, each job would else compile
# Lightning and all that it imports anew, which takes longer than many jobs.
.venv/.ready: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -E '^uv==' requirements.lock)"
	$(BIN)/uv pip sync --quiet --compile-bytecode requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --editable .
	touch $@

test: env  ## all tests
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal

# AT_ONCE=4 for a machine with many cores. Small disks of their own are mounted by root; others go without.
AT_ONCE ?= 1
fault-test: env  ## kill, fill up and damage a small study in 30 ways; see docs/guides/faults.md
	$(BIN)/python tests/faults/run.py --at-once $(AT_ONCE) --report benchmarks

slurm-test: env  ## the demo on a SLURM of one node, disturbed; needs root. STUDY=quick: a small study instead
	$(BIN)/python tests/slurm/run.py $(if $(filter quick,$(STUDY)),--quick)

lint: env  ## ruff, mypy, snakefmt and Snakemake's own linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

report: env  ## the report of what was run
	$(BIN)/snakemake --configfile $(CONFIG) --report report.zip

# The variable silences an advertisement of a rival that one of the packages prints.
docs: env  ## the site of the documentation: site/index.html needs no server and no network
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict --quiet
	$(BIN)/python docs/screenshots.py --output site/images

lock: env  ## renew the exact pins
	$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --no-header --no-annotate \
		--extra workflow --extra slurm --extra simulate --extra gpu --extra export --extra docs --extra dev pyproject.toml --output-file requirements.lock

.venv-bench/.ready: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv-bench
	$(BIN)/uv pip install --quiet --python .venv-bench/bin/python --editable '.[bench]'
	touch $@

bench: env .venv-bench/.ready  ## time and score the denoisers beside the public package; DATA=folder of real scenes
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/denoising.py --package-python $(PACKAGE_PYTHON) --data $(DATA)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/reading.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/finetuning.py --update
	$(BIN)/python benchmarks/fusion.py --data $(DATA)
	$(BIN)/python benchmarks/spectral_autoencoders.py --data $(DATA)
	$(BIN)/python benchmarks/clustering.py --data $(DATA)
	$(BIN)/python benchmarks/classification.py --data $(DATA)
	$(BIN)/python benchmarks/augmentation.py
	$(BIN)/python benchmarks/representation.py
	$(BIN)/python benchmarks/devices.py --update
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/startup.py
