# make            what there is to make
# make repro      install, fetch the data, run every study that is out of date
# make test       install, then all checks
# make compare    set this run beside another revision's: make compare REV=HEAD~1
# make bench      measure how fast it is, beside a peer
# make bench-gpu  measure how fast it is on a GPU

PYTHON ?= python3
UV ?= uv
VENV := .venv
INSTALLED := $(VENV)/.installed
PACKAGES := $(VENV)/.packages
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

# PyPI's torch for Linux brings CUDA: 3.4 GB to download.  TORCH=cpu takes PyTorch's own build without it: 0.6 GB.
TORCH ?= default
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

# The commands in dvc.yaml say `python`; here that is ours.  A virtual environment that is active is left out of it.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
unexport PYTHONHOME

.PHONY: help install packages repro compare bench bench-gpu docs serve serve-stop test test-cluster lint format lock clean distclean

help:
	@echo 'make repro      install, fetch the data, run every study that is out of date'
	@echo 'make test       install, then all checks: ruff, mypy, pytest'
	@echo 'make compare    set this run beside another: REV=HEAD~1, a branch, a tag, an experiment'
	@echo 'make serve      a Prefect page with a nightly run of all studies;  make serve-stop  ends it'
	@echo 'make test-cluster  install, then the slow tests: clusters, servers, kills'
	@echo 'make bench      how fast it is, beside a peer; takes an hour of a machine with nothing else to do'
	@echo 'make bench-gpu  how fast it is on a GPU, beside what the GPU can do; eight minutes'
	@echo 'make docs       write docs/parameters.md anew from the code and the parameters study'
	@echo 'make lint       ruff and mypy alone;  make format  rewrites what ruff can'
	@echo 'make lock       write uv.lock, and from it requirements.lock, after a change of pyproject.toml; needs uv'
	@echo 'Any of them with TORCH=cpu installs a torch without CUDA: a sixth of the download; PYTHON=python3.12 names a Python'
	@echo 'make clean      remove tool caches, end `make serve`;  make distclean  also .venv, logs and finished jobs'

install: $(INSTALLED)
packages: $(PACKAGES)

# Prefect's database, which a server would take seconds to make when the first study waits for it.
LAY_OUT = PREFECT_HOME='$(CURDIR)/.prefect' DO_NOT_TRACK=1 $(VENV)/bin/prefect server database upgrade --yes > /dev/null

# Built anew when the lock file changes; a half-built one has no stamp and is built again.
$(PACKAGES): requirements.lock
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("error: Python 3.11 or later is needed; name one with make PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
ifeq ($(TORCH),cpu)
	$(PIP) --no-deps --index-url $(TORCH_INDEX) $$(grep -E '^torch(vision)?==' requirements.lock)
	grep -vE '^(cuda|nvidia|triton)' requirements.lock > $(VENV)/requirements-cpu.txt
	$(PIP) --requirement $(VENV)/requirements-cpu.txt
else
	$(PIP) --requirement requirements.lock
endif
	@touch $@

$(INSTALLED): $(PACKAGES) pyproject.toml
	$(PIP) --no-deps --no-build-isolation --editable .
	$(LAY_OUT)
	@touch $@

# Fetched when data.dvc is newer than what lies here, so that pictures you put in are left alone.
data: data.dvc | $(INSTALLED)
	@dvc pull --quiet --remote store data && touch data

# $$PPID is this make: when it ends, whatever was started ends too.
repro: $(INSTALLED) data
	@exec env NST_OWNER=$$PPID python -m flows.up -- dvc repro

compare: $(INSTALLED)
	@python -m flows.report --compare '$(REV)'

serve: $(INSTALLED) data
	@python -m flows.serve start

serve-stop: $(INSTALLED)
	@python -m flows.serve stop

test: lint data
	pytest

test-cluster: $(INSTALLED) data
	pytest -m cluster

bench: $(VENV)/.bench data
	@exec python -m benchmarks $(BENCH)

bench-gpu: $(INSTALLED) data
	@exec python -m benchmarks.gpu

# The peer stands beside what the lock file pins, and is left out of it.
$(VENV)/.bench: $(INSTALLED)
	$(PIP) --constraint requirements.lock --no-build-isolation --editable '.[bench]'
	@touch $@

# With the strips of the parameters study that lie in reports/.
docs: $(INSTALLED)
	@python -m nst.parameters docs/parameters.md

lint: $(INSTALLED)
	ruff check .
	ruff format --check .
	mypy

format: $(INSTALLED)
	ruff check --fix .
	ruff format .

# Only what has to change changes.  The addresses are PyPI's own, whatever mirror this machine is set to.
lock:
	$(UV) lock --default-index https://pypi.org/simple
	$(UV) export --quiet --locked --format requirements.txt --extra dev --no-emit-project --no-hashes --no-annotate \
		--output-file requirements.lock

# A server that `make serve` left running would be an orphan without its files.
clean:
	@[ ! -x $(VENV)/bin/python ] || $(VENV)/bin/python -m flows.serve stop
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis build
	find benchmarks flows nst tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) .cache .prefect *.egg-info
