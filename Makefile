# lensneg: everything from Python 3.11 and make.
#
#   make run     a sky, the whole pipeline on it, and a published manifest in build/out
#   make test    the tests
#   make check   formatting, lint, types, known vulnerabilities
#   make faults  the long form of the fault suite: real runs killed, S3 in bad weather, fuzzing (half an hour)
#   make bench   all benchmarks, side by side: rewrites benchmarks/results.md (about half an hour)
#   make lock    pin the dependencies anew

PYTHON ?= python3.11
BIN := .venv/bin
UV_VERSION := 0.13.9
UV := $(BIN)/uv

SKY := build/sky
OUT := build/out

.PHONY: .venv run test check faults format bench lock clean

run: .venv/.base
	test -f $(SKY)/.done || { rm -rf $(SKY) && $(BIN)/lensneg mock-sky $(SKY) && touch $(SKY)/.done; }
	$(BIN)/lensneg run --config configs/negative_sampling_v1.yaml --sweeps $(SKY)/sweeps \
	    --positives $(SKY)/positives.csv --out $(OUT)

test: .venv/.dev
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python .ci/audit.py requirements*.lock

# Every fault of tests/faults, and not a few of them as in `make test`; each prints what was injected.
FUZZ_SECONDS ?= 120
faults: .venv/.dev .venv/.fuzz
	LENSNEG_FAULTS=long $(BIN)/python -m pytest --capture=no tests/faults
	$(BIN)/python tests/faults/fuzz_reader.py -max_total_time=$(FUZZ_SECONDS)

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.bench
	$(BIN)/python benchmarks/run_all.py

# The environment: what the lock files pin, and the package itself, linked to this checkout.
.venv: .venv/.base

.venv/.base: requirements.lock pyproject.toml
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch .venv/.base

.venv/.dev: requirements-dev.lock .venv/.base
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements-dev.lock
	touch .venv/.dev

.venv/.fuzz: requirements-fuzz.lock .venv/.base
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements-fuzz.lock
	touch .venv/.fuzz

.venv/.bench: requirements-bench.lock .venv/.base
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements-bench.lock
	touch .venv/.bench

LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-header --extra local pyproject.toml
lock: .venv/.base
	$(LOCK) -o requirements.lock
	$(LOCK) --extra dev -c requirements.lock -o requirements-dev.lock
	$(LOCK) --extra fuzz -c requirements.lock -o requirements-fuzz.lock
	$(LOCK) --extra bench -c requirements.lock -o requirements-bench.lock

clean:
	rm -rf .venv build
