# The short way in: `make demo` and `make test`. Each installs what is missing (sh tools/setup.sh), builds
# and runs. Everything else about building is in CMakeLists.txt and CMakePresets.json.
# SPDX-License-Identifier: Apache-2.0
PRESET ?= release
BUILD = build/$(PRESET)
CTEST_FLAGS ?= --output-on-failure
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: help demo test build seeds experiments onnx-conformance format check-format check-layers bench-peers errors check-torchvision check-onnxruntime install clean

help:
	@echo "make demo          train LeNet-5 on Fashion-MNIST, draw the pictures, classify a few images (demo/)"
	@echo "make test          build everything and run every test"
	@echo "make build         the program and the libraries (build/release)"
	@echo "make seeds         which rows of the specification have a passing test"
	@echo "make experiments   what the tutorials claim, as figures and tables (experiments/; some minutes)"
	@echo "make onnx-conformance  cases of the ONNX test suite: passed, failed, left out and why (needs libonnx-testdata)"
	@echo "make format        lay out the sources; make check-format only looks"
	@echo "make check-layers  every include points the right way"
	@echo "make bench-peers   lenslet beside other libraries, interleaved: some 12 minutes (installs python3-torch;"
	@echo "                   PEERS_PYTHON=EXE: an interpreter with more of them, see docs/performance.md)"
	@echo "make errors        rounding errors of every algorithm of a 3x3 convolution against double, layer by layer"
	@echo "make check-torchvision  logits and gradients equal torchvision's for the same weights (installs python3-torchvision)"
	@echo "make check-onnxruntime  exported nets give ONNX Runtime's output (PYTHON needs onnx and onnxruntime)"
	@echo "make install       to PREFIX (default /usr/local)"
	@echo "PRESET=debug|asan|tsan|tiny|clang selects another build"

demo:
	sh tools/setup.sh demo
	cmake --preset release
	cmake --build build/release -j $(JOBS) --target lenslet_program
	sh tools/demo.sh build/release/lenslet demo

build:
	sh tools/setup.sh build
	cmake --preset $(PRESET)
	cmake --build $(BUILD) -j $(JOBS)

test: build
	ctest --test-dir $(BUILD) -j $(JOBS) $(CTEST_FLAGS)

seeds: build
	sh tools/seeds.sh $(BUILD)

experiments: build
	for experiment in $(BUILD)/experiments/*; do $$experiment experiments || exit 1; done

format:
	sh tools/format.sh

onnx-conformance: build
	$(BUILD)/tests/onnx_conformance

check-format:
	sh tools/format.sh --check

check-layers:
	sh tools/check_layers.sh

PEERS_PYTHON ?= /usr/bin/python3
bench-peers:
	sh tools/setup.sh peers
	cmake --preset release
	cmake --build build/release -j $(JOBS)
	$(PEERS_PYTHON) bench/peers/compare.py build/release/lenslet --growth

errors:
	cmake --preset release
	cmake --build build/release -j $(JOBS) --target kcheck
	build/release/tests/kcheck --errors

check-torchvision:
	sh tools/setup.sh peers
	cmake --preset release
	cmake --build build/release -j $(JOBS) --target lenslet_program lenslet_shared
	/usr/bin/python3 tests/oracle/torchvision_logits.py build/release/lenslet
	/usr/bin/python3 tests/oracle/torchvision_gradients.py build/release/liblenslet.so

PYTHON ?= python3
check-onnxruntime:
	cmake --preset release
	cmake --build build/release -j $(JOBS) --target lenslet_program
	$(PYTHON) tests/oracle/onnxruntime_logits.py build/release/lenslet

PREFIX ?= /usr/local
install: build
	cmake --install $(BUILD) --prefix $(PREFIX)

clean:
	rm -rf build
