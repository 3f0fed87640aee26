# Everything a person types: demo, test, test-all, lint, install. Each can be run again at any time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml $(wildcard package/*.py perception/*.py fusion/*.py actions/*.py models/*.py pipelines/*.py)

# Installing says a great deal that only matters where it fails.
INSTALL = echo "installing .[$(EXTRAS)] into $(VENV)" && \
	{ $(BIN)/python -m pip install --editable ".[$(EXTRAS)]" --config-settings editable_mode=strict \
	> $(VENV)/install.log 2>&1 || { cat $(VENV)/install.log; exit 1; }; }

.PHONY: demo test test-all lint install clean

demo: $(VENV)/.runtime
	$(BIN)/sensorimotor demo

install: $(VENV)/.development

test: $(VENV)/.development
	$(BIN)/python -m pytest

test-all: $(VENV)/.development
	$(BIN)/python -m pytest -m "slow or not slow"

lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# An editable install in strict mode sees a new module only after it is made again: hence $(SOURCES).
$(VENV)/.runtime: EXTRAS = cpu,sim
$(VENV)/.runtime: $(BIN)/python $(SOURCES)
	@$(INSTALL)
	touch $@

$(VENV)/.development: EXTRAS = cpu,train,data,live,rerun,ray,tune,sim,dev
$(VENV)/.development: $(BIN)/python $(SOURCES)
	@$(INSTALL)
	touch $@ $(VENV)/.runtime
