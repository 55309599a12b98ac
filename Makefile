# make demo   the whole road on small photographs, in minutes, on a CPU
# make test   the default test set
# PYTHON=python3.10 make demo   chooses the interpreter
VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.11 python3.10 python3.9; do \
	"$$p" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
OUT ?= demo_output

.PHONY: demo test clean

demo: $(VENV)/installed
	$(VENV)/bin/ssld demo --out "$(OUT)"

test: $(VENV)/installed
	$(VENV)/bin/python -m pytest

$(VENV)/installed: setup.py pyproject.toml
	@[ -n "$(PYTHON)" ] && "$(PYTHON)" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 11))' 2>/dev/null || { \
		echo "make: no Python 3.9, 3.10 or 3.11 found (found: $$(python3 --version 2>&1 || true)$(if $(PYTHON),; PYTHON=$(PYTHON))). numpy 1.24.4," \
		"which paddleclas 2.6.0 needs, has wheels for 3.8 to 3.11, paddlepaddle 3.3.1 for 3.9 and later." \
		"Install one of these and run: PYTHON=/path/to/python3.11 make $(MAKECMDGOALS)" >&2; exit 1; }
	"$(PYTHON)" -m venv "$(VENV)"
	"$(VENV)/bin/python" -m pip install --quiet --editable ".[cpu,demo,dev]"
	touch "$@"

clean:
	rm -rf "$(VENV)" "$(OUT)"
