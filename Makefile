# What people and CI call. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Tests that start servers wait more than they compute; two workers fill two cores.
WORKERS ?= 2
ASSETS := $(shell find cloud_hub/console -path '*/node_modules' -prune -o -path '*/static/dist' -prune -o \
            -type f \( -name '*.json' -o -name '*.ts' -o -name '*.js' -o -name '*.css' -o -name '*.svg' -o -name '.npmrc' \) -print 2>/dev/null)

.PHONY: help demo test test-slow test-live live-packages check format bench lock clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: $(VENV)/.demo ## A hub, six agents, a good rollout and a bad one; ARGS=--exit checks the story and ends
	@$(BIN)/vedette demo $(ARGS)

test: $(VENV)/.dev ## All that needs neither root nor Debian packages, in under ten minutes
	@$(BIN)/pytest -n $(WORKERS) -m 'not slow and not live' $(ARGS)

test-slow: $(VENV)/.dev ## The longer suites: kill runs, simulations
	@$(BIN)/pytest -m 'slow and not live' $(ARGS)

test-live: $(VENV)/.dev live-packages ## With what comes from Debian (mosquitto, chromium, systemd in a container); installs it when run as root
	@$(BIN)/pytest -m live $(ARGS)

live-packages:
	@missing=(); \
	command -v mosquitto >/dev/null || [[ -x /usr/sbin/mosquitto ]] || missing+=(mosquitto); \
	command -v chromium >/dev/null || missing+=(chromium); \
	command -v systemd-nspawn >/dev/null || missing+=(systemd-container); \
	command -v mkfs.ext4 >/dev/null || [[ -x /usr/sbin/mkfs.ext4 ]] || missing+=(e2fsprogs); \
	command -v ip >/dev/null || [[ -x /usr/sbin/ip ]] || missing+=(iproute2); \
	command -v iptables >/dev/null || [[ -x /usr/sbin/iptables ]] || missing+=(iptables); \
	compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || missing+=(libfaketime); \
	if (($${#missing[@]})); then \
	  if [[ $$(id -u) != 0 ]]; then \
	    echo "make test-live needs $${missing[*]}: run 'sudo apt-get install $${missing[*]}' first." >&2; exit 1; \
	  fi; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$${missing[@]}" >/dev/null; \
	fi

check: $(VENV)/.dev ## Lint, format, strict types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code and mend what lint can
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev ## Every promise measured against its anchor; writes docs/benchmarks.md
	@$(BIN)/python -m benchmarks

lock: $(VENV)/.dev ## Pin all dependencies again, with hashes and without any index's address
	@for name in edge litert tflite grpc hub demo dev node build; do \
	  extras=(--extra $$name); [[ $$name == hub ]] && extras+=(--extra compile --extra litert); \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-annotate --no-emit-package vedette --no-config $${UPGRADE:+--upgrade} \
	    "$${extras[@]}" pyproject.toml -o locks/$$name.txt; \
	done
	@for name in clients openapi peer-bentoml peer-kserve peer-litserve peer-mlserver; do \
	  alone=(); [[ $$name == openapi ]] && alone+=(--no-deps); \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-annotate --no-config $${UPGRADE:+--upgrade} $${alone[@]+"$${alone[@]}"} --group $$name -o locks/$$name.txt; \
	done

clean: ## Remove what the targets above made
	rm -rf $(VENV) cloud_hub/console/node_modules cloud_hub/console/static/dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Vedette needs Python 3.11 or newer, and '$(PYTHON)' is not there." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Vedette needs Python 3.11 or newer, and $$($(PYTHON) --version) is what '$(PYTHON)' starts." \
	    "Try 'make PYTHON=python3.12 ...'." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "This Python cannot make virtual environments: run 'sudo apt-get install python3-venv' first." >&2; exit 1; }
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

# Without Node on the machine, the wheel that carries one builds the console's assets.
define install
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@echo "Installing the locked dependencies of '$(1)' ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/$(1).txt
	@command -v npm >/dev/null || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/node.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
endef

$(VENV)/.demo: $(VENV)/bin/python locks/demo.txt locks/node.txt pyproject.toml hatch_build.py $(ASSETS)
	$(call install,demo)

$(VENV)/.dev: $(VENV)/bin/python locks/dev.txt locks/node.txt pyproject.toml hatch_build.py $(ASSETS)
	$(call install,dev)
