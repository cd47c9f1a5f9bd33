# `make help` lists what can be made. Everything happens in .venv, which is made when it is missing.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# The Python that makes .venv, and further arguments for run, test, soak, fuzz, conformance and bench.
PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
# Debian packages of the tests and of the benchmark's peers, as command:package or file:package. Where systemd runs,
# installing nginx, HAProxy, Caddy, Apache, varnish, Redis and Prometheus starts them as services too, which the
# tests do not use. nginx, Caddy and Apache want port 80 then: the one that comes later does not start, which does
# not matter here.
DEBIAN_PACKAGES := chromium:chromium gcc:gcc /usr/include/stdio.h:libc6-dev /usr/include/openssl/ssl.h:libssl-dev \
	/usr/sbin/nginx:nginx /usr/sbin/haproxy:haproxy caddy:caddy \
	/usr/sbin/apache2:apache2 /usr/sbin/varnishd:varnish redis-server:redis-server \
	promtool:prometheus
BENCH_PACKAGES := nginx:nginx /usr/lib/nginx/modules/ngx_nchan_module.so:libnginx-mod-nchan node:nodejs npm:npm wrk:wrk

# Tests that watch real sockets on a virtual clock run alone. The others share two processes, file by file. Those that
# start programs come after the rest, which they would slow down; they wait more than they compute, so three processes
# share them, test by test, because a few long files would be left to one process at the end.
ALONE := tests/redis tests/server
PROGRAMS := tests/bench tests/chaos tests/cli tests/e2e

PYTEST := --no-unlisted-skips --durations 15

export PYTHON

.PHONY: help run test soak fuzz conformance lint test-client format bench build client reference clean install install-test

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

run: install ## start streamd on 127.0.0.1:8080 with its defaults and the demo source
	@exec $(BIN)/streamd serve --demo $(ARGS)

# Status 5 of pytest means that ARGS, or the mark, selects no test of these; that is no failure.
test: install-test ## check style, types and layers, then run the tests (up to 25 minutes)
	@conf/setup/debian.sh $(DEBIAN_PACKAGES)
	@$(MAKE) lint
	@$(MAKE) test-client
	@$(BIN)/python -m pytest $(PYTEST) -n 2 --dist loadfile $(ALONE:%=--ignore %) $(PROGRAMS:%=--ignore %) $(ARGS) || [ $$? -eq 5 ]
	@$(BIN)/python -m pytest $(PYTEST) -n 3 --dist worksteal $(PROGRAMS) $(ARGS) || [ $$? -eq 5 ]
	@$(BIN)/python -m pytest $(PYTEST) $(ALONE) $(ARGS) || [ $$? -eq 5 ]

# --timeout: one test may take it all (s).
soak: install-test ## run the long tests (up to 20 minutes)
	@conf/setup/debian.sh $(DEBIAN_PACKAGES) curl:curl
	@conf/setup/node.sh --in tests/third_party
	@$(BIN)/python -m pytest --no-unlisted-skips -m soak --timeout 1200 $(ARGS) || [ $$? -eq 5 ]

# atheris has its own copy of libFuzzer for each version of CPython.
fuzz: install-test ## fuzz the parsers of outside bytes (10 minutes; ARGS="tokens.text --seconds 60")
	@$(BIN)/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "make fuzz needs CPython 3.11, 3.12 or 3.13, for which atheris has wheels: make PYTHON=python3.13 fuzz" >&2; exit 1; }
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint conf/setup/constraints.txt --editable '.[fuzz]'
	@$(BIN)/python -m tests.fuzz $(ARGS)

# PYTHON2 names a Python 2.7 with pip, and H2SPEC the program, where they are not found.
conformance: install-test ## run the Autobahn test suite and h2spec, where they can be installed (1 minute)
	@conf/setup/conformance.sh
	@$(BIN)/python -m tests.conformance $(ARGS)

lint: install-test ## check style, types and the import contract
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@conf/setup/node.sh npx tsc --noEmit
	@conf/setup/node.sh npx tsc --project tests

test-client: install-test ## run the browser client's tests in Node, and print their coverage
	@conf/setup/node.sh npx vitest run --coverage

format: install-test ## put imports and layout in order
	@$(BIN)/ruff check --select I --fix .
	@$(BIN)/ruff format .

bench: install-test ## measure streamd and its peers (hours; ARGS="--quick" for a smoke test)
	@conf/setup/debian.sh $(DEBIAN_PACKAGES) $(BENCH_PACKAGES)
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint conf/setup/constraints.txt --editable '.[bench]'
	@$(BIN)/python -m bench install
	@$(BIN)/python -m bench run $(ARGS)

build: install ## make the wheel in dist/
	@$(BIN)/python -m pip wheel --disable-pip-version-check --no-deps --wheel-dir dist .

client: install ## build the browser client in streamd/web/client/dist/
	@conf/setup/node.sh node build.mjs
	@conf/setup/node.sh node sizes.mjs

reference: install ## regenerate conf/streamd.toml from the settings
	@$(BIN)/streamd config reference >conf/streamd.toml.new && mv conf/streamd.toml.new conf/streamd.toml

clean: ## remove .venv, node_modules, .bench, dist and the caches
	@rm -rf {streamd/web/client,tests/third_party}/node_modules .bench .conformance .fuzz .venv dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

install:
	@conf/setup/install.sh runtime

install-test:
	@conf/setup/install.sh test
