# make reproduce | test | ui | lint | bench      (install happens by itself, into .venv)
#
# A CPU-only torch, a few hundred MB instead of a few GB on Linux:
#     make reproduce TORCH_INDEX=https://download.pytorch.org/whl/cpu
PYTHON      ?= python3
TORCH_INDEX ?=
PIP         := 26.3
TORCH       := 2.13.0
PORT        ?= 5000

BIN   := .venv/bin
# The stamp's name is a checksum of the files that decide what is installed; their time stamps do not matter.
STAMP := .venv/installed-$(shell cat pyproject.toml requirements.lock Makefile | cksum | cut -d ' ' -f 1)
RUN   := PATH="$(CURDIR)/$(BIN):$$PATH" DVC_NO_ANALYTICS=1

.PHONY: reproduce test ui lint bench install lock
.DEFAULT_GOAL := reproduce

reproduce: install
	$(RUN) dvc repro
	@echo "The report: reports/index.html (the same as text: reports/index.md)"

test: install
	$(RUN) python -m pytest --numprocesses logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

ui: install
	$(RUN) python -m pipelines.ui --port $(PORT)

lint: install
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports

# Compares with TRL too, which only this target needs.  Run nothing else meanwhile.
bench: install
	$(BIN)/python -m pip install --quiet --editable '.[bench]' --constraint requirements.lock
	$(RUN) python -m benchmarks.run

install: $(STAMP)

# torch comes first, because it may come from a separate index; later packages then find it installed.
$(STAMP):
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed; this is " + sys.version.split()[0] + " (name another: make PYTHON=python3.12)")'
	@command -v git > /dev/null || { echo "git is needed (DVC works in a git repository)"; exit 1; }
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip==$(PIP)
	$(BIN)/python -m pip install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==$(TORCH)
	$(BIN)/python -m pip install --editable '.[test]' --constraint requirements.lock
	rm -f .venv/installed-*
	touch $@

# After a change of pins in pyproject.toml: install them, then write all installed packages to requirements.lock.
lock:
	rm -f requirements.lock .venv/installed-* && touch requirements.lock
	$(MAKE) install
	$(BIN)/python -m pip freeze --exclude-editable --exclude pip --exclude setuptools | \
	  grep -v -i -E '^(nvidia|triton|cuda)' | sed 's/+[a-z0-9]*$$//' > requirements.lock
	$(MAKE) install
