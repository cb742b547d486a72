# Everything a person types. Each target installs what it needs first, silently and quickly if
# nothing is missing.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help run node desktop demo test matrix build fmt clippy tree lint check-windows bench ui setup clean

# Tools that cargo installs are found also by a shell that has not read cargo's profile.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

# The profile `run` builds with: `quick` is optimised; `dev` shares its results with `make test` and
# is ready sooner.
PROFILE ?= quick
# The folder cargo builds into.
OUT := $(or $(CARGO_TARGET_DIR),target)
# Passed on to the program: make node ARGS="check --json"
ARGS ?= run
# The worlds of the matrix whose name contains this.
ONLY ?=
# Passed on to the bench.
BENCH ?=

# Scenarios wait more than they work, so that four at once suit two processors.
TESTS_AT_ONCE := $(shell n=$$(nproc 2>/dev/null || echo 4); echo $$((n > 4 ? n : 4)))

DISPLAYED := $(or $(DISPLAY),$(WAYLAND_DISPLAY),$(filter Darwin,$(shell uname -s)))

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build and start VPNSentinel: the desktop app, or without a display the node and its dashboard
	@$(MAKE) $(if $(DISPLAYED),desktop,node)

desktop: ## Build and start the desktop app
	@scripts/setup build
	@scripts/build-ui
	cargo run --locked --profile $(PROFILE) -p vpnsentinel

node: ## Build and start the headless node; ARGS="check" runs another of its commands
	@scripts/setup node
	@scripts/build-ui
	cargo run --locked --profile $(PROFILE) -p vpnsentinel-node --bin vpnsentinel-node -- $(ARGS)

demo: ## Watch a real leak being caught, in a network made for it on this machine
	@scripts/setup all
	@$(MAKE) build
	$(OUT)/debug/lab demo

# One selection of packages and features for clippy, build and test: another one would build
# everything a second time.
test: ## Run everything: formatting, lints, and all tests
	@scripts/setup all
	@scripts/build-ui
	@$(MAKE) fmt tree clippy build
	cargo nextest run --locked --workspace --test-threads $(TESTS_AT_ONCE) $(if $(CI),--profile ci)

matrix: ## Play every world of line, VPN client, resolver and DHCP client; ONLY=ppp plays some
	@scripts/setup all
	@scripts/build-ui
	cargo build --locked --workspace --bins
	$(OUT)/debug/lab matrix --only "$(ONLY)"

build: ## Build every program and test, unoptimised
	@scripts/build-ui
	cargo build --locked --workspace --bins --tests

bench: ## Measure the budgets and write target/bench/report.json
	@scripts/setup all
	@scripts/build-ui
	cargo build --locked --profile quick --workspace --exclude vpnsentinel-ui --bins
	$(OUT)/quick/bench $(BENCH)

fmt: ## Check the formatting
	cargo fmt --all --check

clippy: ## Run the lints, warnings being errors
	cargo clippy --locked --workspace --all-targets -- -D warnings

tree: ## Check the repository's own rules: dependencies, import circles, comments, file sizes
	@scripts/check-tree

lint: ## Formatting, lints, dependencies, scripts, and the repository's own rules
	@scripts/setup build
	@scripts/build-ui
	@$(MAKE) fmt tree clippy
# Advisories change without us, so the audit workflow watches those; this needs no network.
	@if command -v cargo-deny >/dev/null; then cargo deny --offline --workspace check bans licenses sources; \
	else echo "skipped cargo-deny, which is not installed: cargo install --locked cargo-deny"; fi
	@if command -v shellcheck >/dev/null; then shellcheck -x $$(grep -lE "^#!.*bash|^# shellcheck shell" scripts/*) .ci/run; \
	else echo "skipped shellcheck, which is not installed"; fi

check-windows: ## Type-check the node for Windows, from Debian or Ubuntu
	@scripts/check-windows

ui: ## Build the dashboard into ui/dist
	@scripts/setup node
	@scripts/build-ui

setup: ## Install what building and testing needs
	@scripts/setup all

clean: ## Delete everything that was built
	rm -rf target target-wasm target-windows ui/dist tests/artifacts
