# setup | demo | test | bench | lint: each makes .venv by itself, with any Python from 3.10 on, and needs nothing
# else. With a C++ compiler nerfrecon's native core is built too; `make -B setup` asks again whether there is one.

PYTHONS := python3.11 python3.12 python3.13 python3.10 python3
BIN := .venv/bin
STAMP := .venv/.installed
DEMO := runs/demo
NATIVE := $(wildcard nerfrecon/native/*.cpp nerfrecon/native/*.h nerfrecon/native/CMakeLists.txt)

.DEFAULT_GOAL := setup
.PHONY: setup demo test bench lint

setup: $(STAMP)

# A Python that is found may still be an empty shim, too old, or one without venv; it is asked, not trusted. So is
# a compiler, which also needs Python's headers. pip's versions differ in where constraints of a build come from.
$(STAMP): pyproject.toml constraints.txt $(NATIVE)
	@set -e; \
	if ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
	  found=; \
	  for python in $(PYTHONS); do \
	    if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then \
	      found=$$python; break; \
	    fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "No Python >= 3.10 with venv among: $(PYTHONS). Install one (on Debian: python3 python3-venv)." >&2; exit 1; \
	  fi; \
	  echo "Making .venv with $$($$found --version)"; \
	  rm -rf .venv; \
	  $$found -m venv .venv; \
	fi; \
	if [ -z "$$SUITE_PURE" ]; then \
	  native=; \
	  include=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))'); \
	  for compiler in "$${CXX:-c++}" g++ clang++; do \
	    if echo '#include <Python.h>' | $$compiler -std=c++17 -fsyntax-only -x c++ "-I$$include" - 2>/dev/null; then \
	      native=$$compiler; break; \
	    fi; \
	  done; \
	  if [ -z "$$native" ]; then \
	    echo "No C++ compiler that finds Python.h (on Debian: g++ python3-dev; then make -B setup): without nerfrecon's" \
	      "native core its reference in PyTorch runs, about ten times slower." >&2; \
	    export SUITE_PURE=1; \
	  fi; \
	fi; \
	echo "Installing the tested versions (a few minutes)"; \
	PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  -e '.[spine,capture,imcls,falldet,watch,nerfrecon,mmdet,dev]'; \
	touch $(STAMP)

# OMP_NUM_THREADS=1: small networks gain little from a second core and lose much where it is busy.
demo: $(STAMP)
	@rm -rf $(DEMO)
	$(BIN)/spine simulate --seed 11 --out $(DEMO)/subject
	$(BIN)/spine fit $(DEMO)/subject --out $(DEMO)/fit
	$(BIN)/python -m imcls.digits $(DEMO)/digits-images
	OMP_NUM_THREADS=1 $(BIN)/imcls train digits data.source.root=$(DEMO)/digits-images --out $(DEMO)/digits
	OMP_NUM_THREADS=1 $(BIN)/falldet predict falldet/shipped/pictures/images --out $(DEMO)/falls
	$(BIN)/nerfrecon simulate-product --out $(DEMO)/photographs views=36
	OMP_NUM_THREADS=1 $(BIN)/nerfrecon run $(DEMO)/photographs/images --quality draft --out $(DEMO)/product \
	  name=planter 'sfm.scale={type: marker, side_mm: 50.0}' field.train.cpu_s=90.0 bake.fit_cpu_s=20.0
	@echo "The reports: $(DEMO)/fit/report.html $(DEMO)/digits/report.html $(DEMO)/product/report.html"
	@echo "People found: $(DEMO)/falls/drawn; to turn by hand: $(DEMO)/product/model.html $(DEMO)/product/baked.html"
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] || [ "$$(uname)" = Darwin ]; then \
	  for page in fit digits product; do $(BIN)/python -m webbrowser "file://$$PWD/$(DEMO)/$$page/report.html"; done; \
	fi

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

bench: $(STAMP)
	$(BIN)/python -m benchmarks
