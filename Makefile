# What one types. The work itself stands in scripts/, a file a target.

SHELL := /bin/bash
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

# A copy of the RustSec advisory database. Where there is none, cargo-audit fetches the published one.
export ADVISORY_DB ?= ../shared/advisory-db

.PHONY: help
help: ## name every target in a line
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## start the gateway against the sandbox and print curl lines to paste (PORT=, ADMIN_PORT=, SANDBOX_PORT= move it)
	@scripts/run

.PHONY: smoke
smoke: ## do what a person would after `make run`, on free ports, and say whether it went well
	@scripts/smoke

.PHONY: lint
lint: ## formatting, lints, documentation, licences, advisories, spelling: everything that is read
	@scripts/lint

.PHONY: test
test: ## every test that belongs to a commit; installs what it needs into target/
	@scripts/test

.PHONY: verify
verify: ## all of it and what is too slow for every commit
	@scripts/verify

.PHONY: dependencies
dependencies: ## build what the program depends on, from the manifests alone: a layer of the image
	@scripts/dependencies

.PHONY: binary
binary: ## build the program as it is shipped into target/dist (REVISION= names the sources where git cannot)
	@scripts/binary

.PHONY: image-check
image-check: ## build the image around that program without an engine or a registry, run it, look at it (buildah)
	@tests/image/run

.PHONY: chart-check
chart-check: ## the chart over its matrix of values: Helm, Kubernetes' schemas, checkov, the gateway itself (part of test)
	@tests/chart/run

.PHONY: release-check
release-check: ## whether what `make binary` builds may be shipped: size, symbols, crates, licences, the same bytes twice
	@scripts/release-check

.PHONY: bench
bench: ## how fast it is beside a bare web server, in one run (ROWS='hits tokens' for some of it)
	@scripts/bench $(ROWS)

.PHONY: fmt
fmt: ## format Rust, TOML and scripts in place
	@scripts/fmt

.PHONY: clean
clean: ## remove target/, the tools in it included
	@rm -rf target
