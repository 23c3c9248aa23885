# Each target sets up what it needs under var/ first; the first time that takes a few minutes.
PYTHON ?= python3
PY = var/venv/bin/python
SETUP = @$(PYTHON) -m appliance.bootstrap --extras

.PHONY: help run test demo check faults bench bench-speech ears model clean
.DEFAULT_GOAL := help

help:
	@echo "make run    set up and start the hotline on this machine; Ctrl-C stops it"
	@echo "make test   set up and prove it: unit, contract, Postgres and Asterisk tests"
	@echo "make demo   two calls and a call back on the real Asterisk, and what Postgres holds afterwards"
	@echo "make check  lint, types, house rules"
	@echo "make faults kill everything at every step, then at random; half an hour"
	@echo "make bench  calls a second and what a call costs"
	@echo "make bench-speech  how well the robot hears, how fast, and how many calls at once; 20 minutes"
	@echo "make ears   train the project's own speech model again, from nothing; an hour on 2 cores"
	@echo "make model  fetch the official small Russian speech model (45 MB) from Vosk's own site"
	@echo "make clean  remove what was set up (var/), the hotline's data with it: asks first"

run:
	$(SETUP) appliance
	@$(PY) -m appliance

test:
	$(SETUP) appliance,softphone,dev
	@$(PY) -m pytest --cov --cov-report=term

demo:
	$(SETUP) appliance,softphone
	@$(PY) -m demo

check:
	$(SETUP) appliance,softphone,dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m pytest -q tests/unit -k floor

faults:
	$(SETUP) appliance,softphone
	@$(PY) -m faults

bench:
	$(SETUP) appliance,softphone
	@$(PY) -m bench

bench-speech:
	$(SETUP) appliance,bench-speech
	@$(PY) -m bench.speech

ears:
	$(SETUP) appliance,ears
	@$(PY) -m ears $(EARS)

model:
	$(SETUP) appliance
	@$(PY) -m ivr.model

clean:
	@printf 'var/ holds the database, the recordings and the secrets. Remove it all? [y/N] '; \
	read answer; [ "$$answer" = y ] && rm -rf var || echo "nothing removed"
