# `make` lists what there is. Everything lives in $(VENV) and in ./storage; nothing else is touched.

PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
# Silent but for errors.
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check --no-input
# Every file's hash is in the requirements, which are complete; the project itself is built by what they installed.
INSTALL := $(PIP) install --require-hashes --no-deps --requirement
OURSELVES := $(PIP) install --no-deps --no-build-isolation --editable .
# By version alone: which build of PyTorch is right depends on the machine (deploy/lock.py).
TORCH := $(PIP) install --constraint constraints.txt torch
RUNS := $(VENV)/.runs
MODELS := $(VENV)/.models
# Tools whose own dependencies are no business of ours: in an environment of their own.
SUPPLY := $(VENV)/supply
DEVELOPS := $(VENV)/.develops
DEVELOPS_GPU := $(VENV)/.develops-gpu
CHECKED := libs services deploy clients tests bench examples
# The number of processes: tests/conftest.py. The tests of one module run in one, where they share what they start.
PYTEST := $(BIN)/python -m pytest -n auto --dist loadscope

.DEFAULT_GOAL := help

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(RUNS)  ## install what running needs into .venv

.PHONY: run
run: $(RUNS)  ## start Gnosis OCR on http://127.0.0.1:7799 (Ctrl-C ends it)
	@exec $(BIN)/python -m services.local run

.PHONY: run-model
run-model: $(MODELS)  ## the same with the model Nanonets-OCR-s as its engine, for a GPU (fetches 7.5 GB once)
	@OCR_ENGINE=nanonets exec $(BIN)/python -m services.local run

.PHONY: ocr
ocr: $(RUNS)  ## read one document: make ocr FILE=scan.pdf [PAGES=1-5] [DPI=150] [OCR=auto|force|text] [FORMAT=md|txt|html|json|zip|pdf] [OUT=scan.md]
ifeq ($(strip $(FILE)),)
	@echo "make ocr: which file? For example: make ocr FILE=scan.pdf" >&2; exit 2
else
	@exec $(BIN)/python -m services.local ocr "$$FILE" $${PAGES:+--pages "$$PAGES"} $${DPI:+--dpi "$$DPI"} \
		$${OCR:+--ocr "$$OCR"} $${FORMAT:+--format "$$FORMAT"} $${OUT:+--output "$$OUT"}
endif
# Through the environment and unexpanded, so that a name with quotes, blanks or dollars arrives as it is.
override FILE := $(value FILE)
override OUT := $(value OUT)
export FILE PAGES DPI OCR FORMAT OUT

.PHONY: model
model: $(MODELS)  ## bring the model into the cache ahead of the first start (MODEL_NAME, MODEL_REVISION; docs/model-cache.md)
	@exec $(BIN)/python -m services.worker.modelcache

.PHONY: key
key: $(RUNS)  ## API keys: make key ARGS="create --email you@example.org [--scopes read] [--days 90]", "list", "revoke ID"
	@exec $(BIN)/python -m services.web.auth.cli $(or $(ARGS),--help)

.PHONY: rotate-token
rotate-token: $(RUNS)  ## replace the token that the services of this machine share, while they run
	@exec $(BIN)/python -m services.serving.rotation

.PHONY: dev
dev: $(DEVELOPS)  ## install the tools of development, without PyTorch

.PHONY: dev-gpu
dev-gpu: $(DEVELOPS_GPU)  ## install them with PyTorch, so that no test of the vision model is skipped (some gigabytes)

.PHONY: check
check: lint  ## lint, types and unit tests: what to run before each commit
	@$(MAKE) --no-print-directory --jobs=2 types unit

.PHONY: unit
unit: $(DEVELOPS)
	@$(PYTEST) tests/unit $(ARGS)

.PHONY: test
test: $(DEVELOPS)  ## the tests that a change must pass (ARGS="-k name" for some of them)
	@$(PYTEST) -m "not slow" $(ARGS)

.PHONY: test-all
test-all: $(DEVELOPS)  ## the same and the long rest: more seeds, planted bugs, kills of the real services
	@$(PYTEST) $(ARGS)

.PHONY: fuzz
fuzz: $(DEVELOPS)  ## send made-up requests to running services: make fuzz [CASES=10000] [SEED=1]
	@$(BIN)/python -m tests.fuzz $(or $(CASES),10000) $(SEED)

.PHONY: simulate
simulate: $(DEVELOPS)  ## break everything, in virtual time: make simulate SEEDS=10000, or SEED=17 for its story
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000))

.PHONY: chaos
chaos: $(DEVELOPS)  ## kill the real services at random and at chosen points: make chaos [MODE=cloud] [KILLS=1000] [SEED=1]
	@$(BIN)/python -m tests.chaos --mode $(or $(MODE),local) --kills $(or $(KILLS),1000) --seed $(or $(SEED),1)

.PHONY: mutants
mutants: $(DEVELOPS)  ## plant bugs in the protocol and see the simulation catch each
	@$(BIN)/python -m tests.simulation.mutants

.PHONY: lint
lint: $(DEVELOPS)  ## check format, style and the architecture
	@$(BIN)/ruff format --check $(CHECKED)
	@$(BIN)/ruff check $(CHECKED)
	@$(BIN)/lint-imports

# Without PyTorch its classes and decorators have no types: the checks that this breaks are left out.
UNTYPED := --allow-subclassing-any --allow-untyped-decorators --no-warn-return-any --no-warn-unused-ignores

.PHONY: types
types: $(DEVELOPS)  ## check the types
	@$(BIN)/mypy $$($(BIN)/python -c 'import importlib.util as u; u.find_spec("torch") or print("$(UNTYPED)")')

.PHONY: format
format: $(DEVELOPS)  ## put the code into its format
	@$(BIN)/ruff format $(CHECKED)
	@$(BIN)/ruff check --fix $(CHECKED)

.PHONY: hooks
hooks: $(DEVELOPS)  ## let git check format and style before each commit, types and architecture before a push
	@$(BIN)/pre-commit install

.PHONY: bench
bench: $(DEVELOPS)  ## measure; one table a question (with GNOSIS_CORPUS also accuracy and the whole corpus)
	@set -e; for question in extraction pipeline overhead upload state hops; do $(BIN)/python -m bench.$$question; echo; done
ifdef GNOSIS_CORPUS
	@$(BIN)/python -m bench.accuracy
	@$(BIN)/python -m bench.corpus "$$GNOSIS_CORPUS/normal"
	@$(BIN)/python -m bench.corpus "$$GNOSIS_CORPUS/malformed" --bombs
endif

# Every variable that docs/deploy.md lists may be given: make deploy-web PROJECT=... PROJECT_NUMBER=... REGION=...
TAG ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo latest)
DEPLOY = TAG="$(TAG)" $(BIN)/python -m deploy.plan

.PHONY: deploy-plan
deploy-plan: $(RUNS)  ## print every command of a deployment, and run none: make deploy-plan [STAGES="web sweep"]
	@$(DEPLOY) $(STAGES)

.PHONY: deploy deploy-setup deploy-queue deploy-images deploy-worker deploy-web deploy-sweep
deploy: $(RUNS)  ## all of it, in order: setup, queue, images, worker, web, sweep
	@$(DEPLOY) --run all
deploy-setup: $(RUNS)  ## APIs, accounts, buckets (with RETENTION_DAYS), secret, image repository
	@$(DEPLOY) --run setup
deploy-queue: $(RUNS)  ## create or update the queues of Cloud Tasks, as deploy/queue.yaml says
	@$(DEPLOY) --run queue
deploy-images: $(RUNS)  ## build and store both images with Cloud Build, under TAG
	@$(DEPLOY) --run images
deploy-worker: $(RUNS)  ## deploy the worker with the image of TAG
	@$(DEPLOY) --run worker
deploy-web: $(RUNS)  ## deploy web, its private half first
	@$(DEPLOY) --run web
deploy-sweep: $(RUNS)  ## the Cloud Scheduler job that wakes jobs that make no progress
	@$(DEPLOY) --run sweep

.PHONY: deploy-audit deploy-rotate deploy-rotate-end
deploy-audit: $(RUNS)  ## keep audit events in a log bucket of their own, for AUDIT_DAYS
	@$(DEPLOY) --run audit
deploy-rotate: $(RUNS)  ## replace the token that the services share, without a refused call; hours later deploy-rotate-end
	@$(DEPLOY) --run rotate
deploy-rotate-end: $(RUNS)  ## accept the token before no longer; refuses while a task may still carry it
	@$(DEPLOY) --run rotate-end

.PHONY: deploy-models deploy-revisions deploy-rollback deploy-down
deploy-models: $(RUNS)  ## fill the bucket of models with MODEL_NAME at MODEL_REVISION (needs `hf` of huggingface_hub)
	@$(DEPLOY) --run models
deploy-revisions: $(RUNS)  ## list the newest revisions of each service
	@$(DEPLOY) --run revisions
deploy-rollback: $(RUNS)  ## send traffic to an earlier revision: make deploy-rollback SERVICE=web REVISION=...
	@$(DEPLOY) --run rollback
deploy-down: $(RUNS)  ## remove everything but the data (DELETE_DATA=yes: that too)
	@$(DEPLOY) --run down

.PHONY: lock
lock: $(SUPPLY)/.stamp  ## write requirements/*.txt anew, with the hash of every file: the versions stay those of constraints.txt
	@$(BIN)/python -m deploy.lock $(SUPPLY)/bin/uv $(ARGS)

.PHONY: pin
pin:  ## look up images' digests, actions' commits and the model's revision, and write them (ARGS=--check: only say what lacks)
	@$(PYTHON) -m deploy.pin $(ARGS)

.PHONY: vendor
vendor: $(RUNS)  ## fetch the web page's libraries (npm), in the versions and with the hashes of requirements/page.toml
	@$(BIN)/python -m deploy.vendor

.PHONY: audit
audit: $(SUPPLY)/.stamp $(RUNS)  ## known vulnerabilities of what is installed in .venv
	@$(BIN)/python -m deploy.advisories $(SUPPLY)/bin/pip-audit $(BIN)/python $(SUPPLY)/bin/python

.PHONY: sbom
sbom: $(SUPPLY)/.stamp  ## bills of materials (CycloneDX) of each installation, into build/sbom
	@mkdir -p build/sbom
	@set -e; for name in run web worker gpu; do $(SUPPLY)/bin/cyclonedx-py requirements requirements/$$name.txt \
		--pyproject pyproject.toml --output-reproducible --output-format JSON --output-file build/sbom/gnosis-ocr-$$name.cdx.json; done

.PHONY: upgrade
upgrade:  ## write constraints.txt anew with the newest versions that pyproject.toml admits, then the requirements
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(PYTHON) -m venv "$$folder/venv"; \
	pip="$$folder/venv/bin/python -m pip --disable-pip-version-check --no-input"; \
	$$pip install --quiet --quiet --editable '.[dev-gpu]'; \
	{ echo "# Versions known to work together, written by \`make upgrade\`; requirements/ has them with hashes."; \
	  $$pip freeze --exclude-editable --exclude gnosis-ocr; } > "$$folder/constraints.txt"; \
	cp "$$folder/constraints.txt" constraints.txt
	@$(MAKE) --no-print-directory lock ARGS=--upgrade

.PHONY: clean
clean:  ## remove .venv and every cache (never ./storage)
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find libs services tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: made anew only when the list of packages has changed.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Gnosis OCR needs Python 3.11 or newer, and $(PYTHON) is {v[0]}.{v[1]}: try make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv $(VENV) || { rm -f $@; exit 1; }

$(RUNS): pyproject.toml requirements/run.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) (about a minute, once)..."
	@$(INSTALL) requirements/run.txt
	@$(OURSELVES)
	@touch $@

$(MODELS): $(RUNS) requirements/gpu.txt constraints.txt
	@echo "Installing PyTorch and what the model needs into $(VENV) (some gigabytes)..."
	@$(INSTALL) requirements/gpu.txt
	@$(TORCH)
	@touch $@

$(DEVELOPS): $(RUNS) requirements/dev.txt
	@echo "Installing the tools of development into $(VENV)..."
	@$(INSTALL) requirements/dev.txt
	@touch $@

$(DEVELOPS_GPU): $(DEVELOPS) requirements/gpu.txt constraints.txt
	@echo "Installing PyTorch and what the model needs into $(VENV) (some gigabytes)..."
	@$(INSTALL) requirements/gpu.txt
	@$(TORCH)
	@touch $@

$(SUPPLY)/.stamp: requirements/supply.txt | $(VENV)/bin/python
	@$(PYTHON) -m venv $(SUPPLY)
	@$(SUPPLY)/bin/python -m pip --quiet --quiet --disable-pip-version-check --no-input \
		install --require-hashes --no-deps --requirement requirements/supply.txt
	@touch $@
