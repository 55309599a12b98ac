# make demo   the whole road on small photographs, in minutes, on a CPU
# make test   the default test set
# PYTHON=/path/to/python3.10 make demo   chooses the interpreter; by default the first that fits
VENV ?= .venv
OUT ?= demo_output
CANDIDATES = python3 python3.11 python3.10 python3.9
PYTHON ?= $(or $(shell for p in $(CANDIDATES); do $$p tools/check_python.py 2>/dev/null && { echo $$p; break; }; done),python3)

.PHONY: demo test clean

demo: $(VENV)/installed
	$(VENV)/bin/ssld demo --out "$(OUT)"

test: $(VENV)/installed
	$(VENV)/bin/python -m pytest

$(VENV)/installed: setup.py pyproject.toml
	@"$(PYTHON)" tools/check_python.py
	"$(PYTHON)" -m venv "$(VENV)"
	"$(VENV)/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[cpu,demo,dev]"
	@touch "$@"

clean:
	rm -rf "$(VENV)" "$(OUT)"
