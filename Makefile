# Every target makes what it needs: a fresh machine with Python (3.11 to 3.13) and make is enough.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/*/pyproject.toml))
CONTRIB := $(patsubst %/pyproject.toml,./%,$(wildcard contrib/plugins/*/pyproject.toml))
SOURCES := hookspecs/src core/src $(addsuffix /src,$(PLUGINS))
WORKSPACE := $(foreach one,hookspecs core[cli] $(PLUGINS),--editable ./$(one))
BENCHMARKS := bus step peers growth checkpoints start
MARK := .venv/.installed

.PHONY: demo test lint bench docs clean

$(MARK): constraints.txt pyproject.toml hookspecs/pyproject.toml core/pyproject.toml $(addsuffix /pyproject.toml,$(PLUGINS))
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --upgrade pip hatchling editables
	$(PIP) --no-build-isolation $(WORKSPACE)
	$(PIP) --no-build-isolation --editable ".[dev]"
	touch $@

demo: $(MARK)  ## train a classifier on real data, with plugins enabled by name
	$(PIP) --no-build-isolation ./contrib/plugins/confusion
	$(BIN)/python contrib/examples/digits.py

lint: $(MARK)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES)

test: lint  ## everything that must hold
	$(PIP) --no-build-isolation $(CONTRIB) ./contrib/template
	$(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist loadfile

bench: $(MARK)  ## how fast everything is, side by side with pluggy, a plain loop and other libraries: half an hour
	$(PIP) --no-build-isolation --editable ".[bench]"
	mkdir -p build/bench
	for one in $(BENCHMARKS); do $(BIN)/python tests/benchmarks/$$one.py --json build/bench/$$one.json || exit 1; done
	$(BIN)/python tests/benchmarks/report.py build/bench

docs: $(MARK)  ## build the site into build/site, without a warning, and check that every example runs
	$(PIP) --no-build-isolation $(CONTRIB)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --config-file docs/site/mkdocs.yml
	$(BIN)/pytest tests/docs

clean:  ## remove what the other targets made
	rm -rf .venv build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis torchbus_logs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
