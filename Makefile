# Every target works in the virtual environment .venv, which is made on the first run and only
# topped up when what it is made from has changed. Nothing asks a question.
#
# pip's own settings apply. The default torch on Linux is the CUDA build (several GB); without a
# GPU the much smaller CPU build does:
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make setup
# COMINING_DETECTRON2_ROUTE=main or pypi chooses where detectron2 comes from.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
DOCS_STAMP := $(VENV)/.set-up-docs

.PHONY: setup demo test lint docs clean

setup: $(STAMP)

demo: setup
	$(BIN)/comining demo --output output/demo

# One process a core, each with a thread of its own.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

# Some tests drive a browser. Without one they are left out, but not silently.
HAS_BROWSER := $(shell command -v chromium >/dev/null && command -v chromedriver)

test: setup
ifeq ($(HAS_BROWSER),)
	@echo "notice: no chromium and chromedriver here, so the tests in a browser are left out;" \
		"on Debian: apt-get install chromium chromium-driver"
	$(PYTEST) -m 'not browser'
else
	$(PYTEST)
endif

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Into site/; a link that leads nowhere is an error. The variable silences an advertisement.
docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) build site *.egg-info .mypy_cache .pytest_cache .ruff_cache

# The editable install comes first: it brings torch, which building detectron2 needs.
$(STAMP): setup.py pyproject.toml $(wildcard comining/installation/*.py)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and \
		"error: Python 3.10 or newer is needed; name one: make PYTHON=python3.12")'
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip 'setuptools>=64,<81' wheel
	$(BIN)/python -m pip install --no-build-isolation --editable '.[dev]'
	$(BIN)/python -m comining install-detectron2
	@touch $@

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --no-build-isolation --editable '.[docs]'
	@touch $@
