# lensneg: all targets need Python 3.11 and make.
#
#   make run     a made-up sky, the whole pipeline on it, and a published manifest in build/out
#   make test    the tests
#   make check   formatting, lint, types, imports, docstrings, the documentation site, known vulnerabilities
#   make docs    the documentation site, in build/site
#   make faults  all tests of tests/faults: real runs killed, faults of S3, fuzzing (20 minutes)
#   make mutants the tests of rules and audit on each of 3,000 changed copies of the code (30 minutes)
#   make dist    sdist and wheel, in build/dist
#   make wheel-check  a run of the wheel with Python 3.11, 3.12 and 3.13, each in an empty environment
#   make image-check  builds the functions' image without a container engine, and starts it (as root, with buildah)
#   make deploy  builds the image, makes its repository in ECR, and deploys the stack
#   make bench   all benchmarks; rewrites benchmarks/results.md (40 minutes)
#   make lock    pins the dependencies again

PYTHON ?= python3.11
BIN := .venv/bin
UV_VERSION := 0.13.9
UV := $(BIN)/uv
# A lock names every package. Without --no-deps, uv builds Spark's sdist twice, to ask what it depends on.
INSTALL := $(UV) pip install --quiet --no-deps --require-hashes

SKY := build/sky
OUT := build/out

.PHONY: .venv run test check docs faults mutants dist wheel-check image-check deploy format bench lock clean

run: .venv/.base
	test -f $(SKY)/.done || { rm -rf $(SKY) && $(BIN)/lensneg mock-sky $(SKY) && touch $(SKY)/.done; }
	$(BIN)/lensneg run --config configs/negative_sampling_v1.yaml --sweeps $(SKY)/sweeps \
	    --positives $(SKY)/positives.csv --out $(OUT)

test: .venv/.dev
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/vermin --quiet --no-tips --violations --target=3.9- spark
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/numpydoc lint --config . lensneg/__init__.py lensneg/errors.py lensneg/local/run.py \
	    $(foreach part,schema rules survey catalogs,lensneg/$(part)/*.py)
	$(MAKE) --no-print-directory docs
	$(BIN)/python .ci/audit.py requirements*.lock

# mkdocs is below version 2, which the message that is silenced here advises against.
docs: .venv/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# All faults of tests/faults; `make test` injects only some of them. Each test prints what was injected.
FUZZ_SECONDS ?= 120
faults: .venv/.dev .venv/.fuzz
	LENSNEG_FAULTS=long $(BIN)/python -m pytest --capture=no tests/faults
	$(BIN)/python tests/faults/fuzz_reader.py -max_total_time=$(FUZZ_SECONDS)
	$(BIN)/python tests/faults/fuzz_inputs.py --seconds $(FUZZ_SECONDS)

# mutmut keeps the results of an earlier run, also where a test has changed since: each run begins anew.
mutants: .venv/.dev
	rm -rf mutants
	$(BIN)/mutmut run
	$(BIN)/python .ci/mutants.py tests/mutants.toml

# The tools of tests/stack. Without them it skips the tests that need them.
.venv-stack: .venv-stack/.done

.venv-stack/.done: requirements-stack.lock tests/stack/package-lock.json .venv/.base
	rm -rf .venv-stack
	$(PYTHON) -m venv .venv-stack
	$(INSTALL) --python .venv-stack/bin/python -r requirements-stack.lock
	cp tests/stack/package.json tests/stack/package-lock.json .venv-stack
	! command -v npm >/dev/null || npm --prefix .venv-stack ci --silent --ignore-scripts
	touch .venv-stack/.done

# hats-import and lsdb. Without them test_hats_run.py and test_export.py skip the tests that need them.
.venv-hats: .venv-hats/.done

.venv-hats/.done: requirements-hats.lock .venv/.base
	rm -rf .venv-hats
	$(PYTHON) -m venv .venv-hats
	$(INSTALL) --python .venv-hats/bin/python -r requirements-hats.lock
	touch .venv-hats/.done

# sdist and wheel, and a run of the wheel with each Python in an empty environment of the newest dependencies.
dist: .venv/.base
	rm -rf build/dist
	$(BIN)/hatchling build --target sdist --target wheel --directory build/dist

PYTHONS ?= python3.11 python3.12 python3.13
wheel-check: dist
	$(BIN)/python tests/install/try_wheel.py build/dist/*.whl $(PYTHONS)

image-check: .venv/.dev
	LENSNEG_IMAGE=$$(tests/image/build.sh) && export LENSNEG_IMAGE && $(BIN)/python -m pytest -s -p no:xdist tests/image

# STACK=other deploys another stack, which has a repository of its own.
STACK ?= lensneg
SAM := .venv-stack/bin/sam
URI_OF_REPOSITORY := import json, sys; print(json.load(sys.stdin)[0]["OutputValue"])
deploy: .venv-stack
	commit=$$($(PYTHON) -m lensneg.schema.code_version) && echo "$$commit" > COMMIT
	$(SAM) build
	$(SAM) deploy --config-env repository --stack-name $(STACK)-repository
	outputs=$$($(SAM) list stack-outputs --stack-name $(STACK)-repository --output json) && \
	    repository=$$(echo "$$outputs" | $(PYTHON) -c '$(URI_OF_REPOSITORY)') && \
	    $(SAM) deploy --stack-name $(STACK) --image-repository "$$repository" \
	        $(if $(PARAMETERS),--parameter-overrides $(PARAMETERS)) $(if $(TAGS),--tags "$(TAGS)")

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.bench
	$(BIN)/python benchmarks/run_all.py

# The environment: the packages that the lock files pin, and lensneg itself, linked to this checkout.
.venv: .venv/.base

.venv/.base: requirements.lock pyproject.toml
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(INSTALL) --compile-bytecode --python $(BIN)/python -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch .venv/.base

.venv/.dev: requirements-dev.lock .venv/.base
	$(INSTALL) --compile-bytecode --python $(BIN)/python -r requirements-dev.lock
	touch .venv/.dev

.venv/.fuzz: requirements-fuzz.lock .venv/.base
	$(INSTALL) --compile-bytecode --python $(BIN)/python -r requirements-fuzz.lock
	touch .venv/.fuzz

.venv/.bench: requirements-bench.lock .venv/.base
	$(INSTALL) --compile-bytecode --python $(BIN)/python -r requirements-bench.lock
	touch .venv/.bench

COMPILE := $(UV) pip compile --quiet --generate-hashes --no-emit-index-url --no-header
LOCK := $(COMPILE) --universal --python-version 3.11 --group build pyproject.toml
ON_LAMBDA := --python-version 3.13 --python-platform x86_64-manylinux_2_28
lock: .venv/.base
	$(LOCK) -o requirements.lock
	$(LOCK) --extra dev -c requirements.lock -o requirements-dev.lock
	$(LOCK) --extra fuzz -c requirements.lock -o requirements-fuzz.lock
	$(LOCK) --extra bench -c requirements.lock -o requirements-bench.lock
	$(COMPILE) $(ON_LAMBDA) -c requirements.lock --group functions -o requirements-lambda.lock
	$(COMPILE) $(ON_LAMBDA) --group runtime -o requirements-runtime.lock
	$(COMPILE) --universal --python-version 3.11 --group stack -o requirements-stack.lock
	$(COMPILE) --universal --python-version 3.11 --group hats -o requirements-hats.lock

clean:
	rm -rf .venv .venv-stack .venv-hats build mutants
