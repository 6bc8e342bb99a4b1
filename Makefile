# make demo: a whole search on handwritten digits, in minutes.   make test: what every change must pass.
# make soak: searches whose processes are killed at random, in a few minutes.   make docs: the site in build/site.
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo/digits

.PHONY: demo test test-all soak check docs clean

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: .venv/installed
	rm -rf demo
	$(BIN)/python -m automl.demo build $(DEMO)
	$(BIN)/automl search $(DEMO) --workdir demo/automl_runs --space tiny --no-pretrained --no-flips \
	    --trials 14 --cpu-slots 2 --top 5 --tta shifts
	$(BIN)/automl status --workdir demo/automl_runs
	$(BIN)/python -m automl.demo score $(DEMO) demo/automl_runs/digits/submission.csv

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/pytest -n 2 --dist loadfile

# MINUTES=55 begins no test after so many minutes and names what was not reached.
test-all: check
	$(BIN)/pytest -n 2 --dist loadfile -m '' $(if $(MINUTES),--minutes $(MINUTES))

soak: .venv/installed
	timeout 600 $(BIN)/python -m tests.soak

docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

clean:
	rm -rf .venv demo automl_runs
