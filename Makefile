# Both targets build and reuse one environment, .venv, from setup.cfg and constraints.txt.
PYTHON ?= python3.11
VENV := .venv
DONE := $(VENV)/.installed
TPU := $(VENV)/.tpu-compiler

# Two files of tests at a time, in the order of tests/slow.txt.
TWO := -n 2 --dist loadfile --no-loadscope-reorder

DOCS := $(VENV)/.docs

.PHONY: demo test quick lint site clean

demo: $(DONE)
	$(VENV)/bin/motion-jax demo

test: $(DONE) $(TPU)
	$(VENV)/bin/python -m pytest $(TWO)

# What to run at every save: all but the slow tests (tests/README.md), and the style.
quick: $(DONE)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/python -m pytest $(TWO) -m "not slow"

lint: $(DONE)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# Anew whenever the requirements change.
$(DONE): setup.cfg constraints.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not installed; install Python 3.11 or name another with: make PYTHON=python3.12"; exit 1; }
	@echo "Setting up $(VENV) (a minute or two) …"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# Some tests compile for TPUs, which needs no TPU, but their compiler (200 MB), which the demo does
# without. It exists for Linux on x86-64 alone; elsewhere these tests are skipped.
$(TPU): $(DONE)
	@if [ "$$(uname -sm)" = "Linux x86_64" ]; then \
	    $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt 'jax[tpu]'; \
	fi
	@touch $@

# The documentation as a site in out/site; a broken link or an undocumented argument is an error.
site: $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet
	@echo "out/site/index.html. With search: $(VENV)/bin/python -m http.server --directory out/site 8001"

$(DOCS): $(DONE)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) out .cache/compiled
