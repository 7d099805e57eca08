# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DOMAIN ?= tabular
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast check lint types layers bench clean

help:  ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# torch goes first: where a CPU build is offered (TORCH_INDEX, or a local index), the rest resolves round it.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed (make PYTHON=python3.12 ...)" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[demo,s3,bench,test]"
	@touch $(READY)

install: $(READY)  ## make .venv with everything in it

demo: $(READY)  ## the main job on a real table: ingest, train, judge, publish
	$(BIN)/synth demo --domain $(DOMAIN)

test: $(READY)  ## the whole test suite
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-fast: $(READY)  ## without the slow tests
	$(BIN)/python -m pytest -n 2 -m "not slow and not browser"

lint: $(READY)
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

layers: $(READY)
	$(BIN)/python -m pytest tests/test_layers.py

check: lint types test  ## what CI runs: ruff, types, layer test (part of the suite), all tests

bench: $(READY)  ## the field's benchmark; DATA=folder of adult/, magic/, shoppers/
	$(BIN)/python -m tests.benchmarks.tabular --data $(DATA)

clean:  ## remove the virtual environment and the demo's workspace
	rm -rf $(VENV) .synth .store
