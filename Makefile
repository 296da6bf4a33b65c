# Everything a newcomer runs. Each target sets up what it needs in .venv by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8080
MODEL ?= checkpoints/snli-hcnn
# what `make bench` runs, and with which options, such as BENCH=--quick or BENCH='--device gpu'
BENCHES ?= score kept search programs train serve coldstart memory transform
BENCH ?=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: setup serve test quick check docs bench clean

setup: $(VENV)/.setup

serve: $(VENV)/.serve
	exec $(BIN)/o2v serve --model $(MODEL) --port $(PORT)

test: $(VENV)/.dev
	$(BIN)/python -m pytest

# without tests that start processes or compile much
quick: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not (process or ray or hosts or slow)"

check: $(VENV)/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

# a warning is an error; the site is docs/_build/html
docs: $(VENV)/.docs
	$(BIN)/sphinx-build -W --keep-going --quiet docs docs/_build/html

bench: $(VENV)/.bench
	for name in $(BENCHES); do \
		$(BIN)/python -m bench.$$name $(BENCH) --json bench/results/$$name.json || exit; \
	done
	$(BIN)/python -m bench.report

clean:
	rm -rf $(VENV) docs/_build

# A stamp is as new as what it was made from, so a second call starts at once.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[serve]'
	touch $@

$(VENV)/.setup: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[serve,train,transform]'
	touch $@ $(VENV)/.serve

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[dev]'
	touch $@ $(VENV)/.setup $(VENV)/.serve

$(VENV)/.docs: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[docs]'
	touch $@ $(VENV)/.setup $(VENV)/.serve

$(VENV)/.bench: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[bench]'
	touch $@ $(VENV)/.setup $(VENV)/.serve
