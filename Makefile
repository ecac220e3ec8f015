# Everything that is made here, and from what.  `./lab` is the way in on a fresh machine: it
# installs Debian packages and hands over; `make` alone works where the tools are there.
# Stamps and real files as targets, so that a second time costs nothing.

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory
SHELL := /bin/sh

PYTHON ?= $(shell tools/find-python)
VENV := .venv
PY := $(VENV)/bin/python
# What protoc is run with; the build hook of the wheel brings its own.
PROTO_PYTHON ?= $(PY)
CLANG ?= clang
BPFTOOL ?= bpftool
PYTEST := $(PY) -m pytest

VENV_STAMP := $(VENV)/.stamp
# A venv made by another Python, or moved: make it again.
ifneq ($(shell $(PY) -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null),True)
.PHONY: $(VENV_STAMP)
endif
ifeq ($(PROTO_PYTHON),$(PY))
PROTO_NEEDS := $(VENV_STAMP)
endif

PROTOS := $(wildcard proto/fqdnlab/pb/*.proto)
PB := $(PROTOS:proto/%.proto=%_pb2.py)
BPF_SOURCES := $(wildcard bpf/*.bpf.c)
BPF_OBJECTS := $(BPF_SOURCES:bpf/%.bpf.c=fqdnlab/datapath/objects/%.bpf.o)
BPF_CODE := $(wildcard bpf/*.c bpf/*.h)
# bpf_helpers.h and bpf_endian.h come from libbpf-dev; all kernel types from vmlinux.h.
# The prefix map keeps the place of the clone out of the objects, so that equal sources on an
# equal kernel make equal octets.
BPF_FLAGS := -g -O2 -target bpf -mcpu=v3 -std=gnu11 -Wall -Wextra -Werror -Wno-unused-parameter \
	-Wno-address-of-packed-member -ffile-prefix-map=$(CURDIR)=. -fdebug-compilation-dir=. \
	-Ibpf -isystem build
KERNEL := $(shell uname -r)

ROOT_TIERS := tests/bpf tests/netns tests/demo tests/notebooks tests/browser tests/vm
TIERS := $(wildcard tests/unit tests/setup $(ROOT_TIERS))

.PHONY: help setup venv proto vmlinux bpf lint format unit bpf-test netns notebooks browser pictures test demo notebook bench interop \
	box bundle vm wheel clean distclean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: venv proto bpf ## venv, proto and bpf

venv: $(VENV_STAMP) ## the virtual environment, .venv

$(VENV_STAMP): pyproject.toml tools/constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 here (Debian: apt-get install python3 python3-venv)" >&2; exit 1; }
	@$(PY) -c 'import pip' 2>/dev/null || { echo "making $(VENV) with $(PYTHON)"; "$(PYTHON)" -m venv --clear $(VENV); }
	@$(PY) -m pip install --quiet --disable-pip-version-check --constraint tools/constraints.txt --editable '.[dev]' || { \
		echo "pip could not install what fqdnlab needs: see the lines above." >&2; \
		echo "Without a network: set PIP_FIND_LINKS and PIP_NO_INDEX=1 to use a folder of wheels; behind a proxy: HTTPS_PROXY." >&2; \
		exit 1; }
	@touch $@

proto: $(PB) ## gRPC code from proto/ into fqdnlab/pb/

# One call makes the code of all files: the first stands for it, the others follow.
ifneq ($(PB),)
$(firstword $(PB)): $(PROTOS) $(PROTO_NEEDS)
	$(PROTO_PYTHON) -m grpc_tools.protoc -Iproto --python_out=. --grpc_python_out=. --pyi_out=. $(PROTOS)
	@touch $(PB)
$(wordlist 2,$(words $(PB)),$(PB)): $(firstword $(PB))
	@test -e $@ || { rm -f $<; $(MAKE) $<; }
endif

vmlinux: build/vmlinux.h ## the running kernel's types, build/vmlinux.h

build/kernel-$(KERNEL):
	@mkdir -p build && rm -f build/kernel-* && touch $@

build/vmlinux.h: build/kernel-$(KERNEL)
	@test -r /sys/kernel/btf/vmlinux || { echo "this kernel tells no types (/sys/kernel/btf/vmlinux): one with CONFIG_DEBUG_INFO_BTF is needed" >&2; exit 1; }
	$(BPFTOOL) btf dump file /sys/kernel/btf/vmlinux format c > $@.tmp && mv $@.tmp $@

bpf: $(BPF_OBJECTS) ## the BPF objects, fqdnlab/datapath/objects/

fqdnlab/datapath/objects/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h) build/vmlinux.h Makefile
	@mkdir -p $(@D)
	$(CLANG) $(BPF_FLAGS) -c $< -o $@

lint: setup ## ruff, mypy and clang-format
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	clang-format --dry-run -Werror $(BPF_CODE)

format: setup ## let ruff and clang-format write
	$(VENV)/bin/ruff check --fix-only .
	$(VENV)/bin/ruff format .
	clang-format -i $(BPF_CODE)

unit: setup ## tests that need no root
	$(PYTEST) tests/unit

bpf-test: setup ## tests of the BPF programs (root)
	$(PYTEST) tests/bpf

netns: setup ## end-to-end tests in network namespaces (root)
	$(PYTEST) $(wildcard tests/netns tests/demo)

notebooks: setup ## every notebook under nbval, its checks, its mechanism disabled (root)
	$(PYTEST) tests/notebooks

browser: setup ## the notebook's panels in Chromium (root); build/screenshots/
	$(PYTEST) tests/browser

pictures: ## README's pictures anew, from those that the tests took (build/screenshots/)
	@for one in docs/img/*.png; do cp "build/screenshots/$${one##*/}" "$$one" && echo "$$one"; done

vm: setup ## in virtual machines that Vagrant makes (root); build/vm/
	FQDNLAB_NO_SKIP=1 FQDNLAB_LEAKS=1 $(PYTEST) tests/vm

# One run, so that one summary ends it.  A skip is a failure, and so is what the tests leave behind.
test: setup ## every tier of tests (root); a skip or a leak is a failure
	FQDNLAB_NO_SKIP=1 FQDNLAB_LEAKS=1 $(PYTEST) $(TIERS)

demo: setup ## the story with its nine claims (root); writes build/demo/
	$(PY) -m fqdnlab.demo

notebook: setup ## JupyterLab on notebooks/; prints its address (root, or `sudo fqdnlab serve` runs)
	@$(PY) -m fqdnlab.notebook

bench: setup ## the figures, beside their peers (root; Go for Cilium's)
	$(PY) -m bench

interop: setup ## against Cilium's own programs and packages (root, Go)
	@command -v go >/dev/null || { echo "make interop needs Go >= 1.25 (https://go.dev/dl): it builds Cilium's own programs" >&2; exit 1; }
	FQDNLAB_NO_SKIP=1 FQDNLAB_LEAKS=1 $(PYTEST) tests/interop

box: setup ## the machines' box from Debian packages (root); prints where it is
	@$(PY) -m fqdnlab.cli vagrant box

BUNDLE ?= build/bundle
bundle: setup ## a folder that sets up a machine with no network: BUNDLE=build/bundle (root, for the box)
	$(PY) tools/bundle.py $(BUNDLE)

wheel: setup ## the wheel, dist/
	rm -rf dist
	$(PY) -m build --wheel --no-isolation

clean: ## remove what was made, but the virtual environment
	rm -rf build dist fqdnlab/datapath/objects/*.o fqdnlab/pb/*_pb2*.py fqdnlab/pb/*_pb2*.pyi
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis

distclean: clean ## and that
	rm -rf $(VENV)
