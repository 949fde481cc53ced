# Everything that is done to this project from a shell: `make help` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCKED := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format ui image up down logs kind-up kind-down chart-docs lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

setup: $(STAMP) ## make .venv with the pinned dependencies (once; about 3 minutes, 6.5 GB)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: Python 3.11 or newer is needed; call make PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned dependencies into $(VENV) (about 3 minutes, 6.5 GB)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## train the main job on drawn cats and dogs, with two workers, and register the best weights
	@$(BIN)/python jobs/catsdogs.py train --scale.workers 2

test: $(STAMP) ## all tests (ORDER=random: in another order; ORDER=N: in that of seed N)
	@$(BIN)/python -m pytest $(if $(ORDER),-p randomly $(if $(filter-out random,$(ORDER)),--randomly-seed=$(ORDER)))

check: $(STAMP) ## ruff, ruff format, mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(STAMP) ## bring the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

ui: $(STAMP) ## the MLflow UI on the local store, at http://127.0.0.1:5000
	@$(BIN)/trainers ui

image: ## build the image of the service (Docker; about 3 minutes, 7 GB)
	@infra/build.sh

up: ## start the service on this host, in containers, and say how to use it (GPU=1: with GPUs)
	@infra/stack.sh up

down: ## stop it; data stays (DATA=delete: it does not)
	@infra/stack.sh down

logs: ## follow what it says (SERVICE=head: of one part)
	@infra/stack.sh logs

kind-up: ## bring the service up in a kind cluster on this host (kind, kubectl, helm)
	@infra/kind/up.sh

kind-down: ## delete that cluster with its data
	@infra/kind/down.sh

chart-docs: $(STAMP) ## make the table of values in the chart's README
	@$(BIN)/python helm/docs.py

lock: $(STAMP) ## resolve the dependencies anew into requirements.lock
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile pyproject.toml --extra dev --extra server $(LOCKED) --upgrade --output-file requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --extra server $(LOCKED) --constraint requirements.lock \
		--output-file infra/requirements.lock

clean: ## remove the virtual environment and caches; runs/ stays
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build *.egg-info
