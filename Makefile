# make run        trains the embedded default and reports into runs/coderl
# make mini       generates WM-ABench's small set and its gallery into runs/mini
# make eval       asks the models that need no key; report in runs/eval
# make plan       compiles large steps for TPUs that are not present; runs/plan
# make test       lints, then runs the tests that take seconds
# make test-slow  runs the tests that take half a minute and more
# Each target installs what it needs into .venv, and the assets of the worlds into
# the user's cache. PYTHON=python3.12 chooses another Python.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet \
  --disable-pip-version-check -c constraints.txt

.PHONY: run mini eval plan test test-slow lint
.DELETE_ON_ERROR:

run: .venv/train.stamp
	$(BIN)/python -m main --config=configs/coderl_train.py \
	  --workdir=runs/coderl

mini: .venv/worlds.stamp
	$(BIN)/python -m main --config=configs/wm_abench_generate.py \
	  --workdir=runs/mini

# More perception items than mini has, from a seed on which the small policy was
# not trained: enough items to tell its accuracy from chance.
SEEN := cells=perception,items=48,seed=1,size_px=192

eval: .venv/eval.stamp
	test -f runs/mini/results.json || $(MAKE) mini
	$(BIN)/python -m main --config=configs/wm_abench_eval.py \
	  --workdir=runs/eval
	test -f runs/seen/results.json || $(BIN)/python -m main \
	  --config=configs/wm_abench_generate.py:$(SEEN) --workdir=runs/seen
	$(BIN)/python -m main --workdir=runs/eval_seen \
	  --config=configs/wm_abench_eval.py:model=small+blind,data=runs/seen

# Sequences of 8,192 tokens, as in the paper. Each plan reports whether it fits.
PLANS := qwen2.5-coder-7b@v5p:4x4x4 qwen2.5-coder-7b@h100-80gb:8 \
  qwen2.5-coder-32b@v5p:4x4x8

plan: .venv/plan.stamp
	set -e; for plan in $(PLANS); do \
	  $(BIN)/python -m main --workdir=runs/plan/$$plan \
	    --config=configs/coderl_plan.py:model=$${plan%@*},topology=$${plan#*@} \
	    --config.sampling.max_len_tokens=7168; \
	done

# XLA's compilations are kept, so that tests and runs share them.
PYTEST := JAX_PLATFORMS=cpu JAX_COMPILATION_CACHE_DIR=$(CURDIR)/.venv/xla \
  JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.3 \
  $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder \
  --durations=25 --durations-min=1

# The longest file comes first, so that no core waits for it at the end.
test: lint .venv/assets.stamp
	$(PYTEST) tests/end_to_end_test.py tests

test-slow: .venv/assets.stamp
	$(PYTEST) -m slow

lint: .venv/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'error: $(PYTHON) is older than Python 3.11;' \
	    'name another: make PYTHON=python3.12' >&2; exit 2; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 2; }

.venv/train.stamp: setup.py constraints.txt | $(BIN)/python
	@echo 'Installing what training needs (once).'
	$(INSTALL) -e '.[train]'
	@touch $@

.venv/worlds.stamp: setup.py constraints.txt | $(BIN)/python
	@echo 'Installing what the worlds need (once).'
	$(INSTALL) -e '.[worlds]'
	$(BIN)/python -m wm_abench.worlds.assets
	@touch $@

.venv/eval.stamp: .venv/worlds.stamp
	@echo 'Installing what asking models needs (once).'
	$(INSTALL) -e '.[eval,policy]'
	@touch $@

.venv/plan.stamp: setup.py constraints.txt | $(BIN)/python
	@echo 'Installing what planning needs (once).'
	$(INSTALL) -e '.[plan]'
	@touch $@

.venv/dev.stamp: setup.py constraints.txt | $(BIN)/python
	@echo 'Installing what the tests need (once).'
	$(INSTALL) -e '.[dev]'
	@touch $@ .venv/train.stamp

.venv/assets.stamp: .venv/dev.stamp
	$(BIN)/python -m wm_abench.worlds.assets
	@touch $@ .venv/worlds.stamp
