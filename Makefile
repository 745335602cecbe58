# Each target says what it does behind `##`; `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Python packages that only tests need stand in .venv where the system has none.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

SOURCES := $(wildcard Package.swift Sources plugins Tests Benchmarks)

.PHONY: help demo test soak endurance build bench format lint clean install

help: ## Lists these targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## Installs what building and testing need, where anything is missing.
	@./.ci/install

demo: install ## Adopts, rotates, kills, resumes and proves a small database.
	@./.ci/demo

test: install ## Builds everything once and runs every test.
	@./.ci/test

soak: install ## Kills, stops and cuts off several schedulers for more than five minutes each.
	swift build --build-tests
	KEYTURN_SOAK_SECONDS=$${KEYTURN_SOAK_SECONDS:-330} swift test --skip-build --filter SchedulerSoakTests

endurance: install ## Wraps 10,000 keys by a plugin and looks for leaks; waits for a server that hangs for good.
	swift build --build-tests
	KEYTURN_ENDURANCE=10000 swift test --skip-build --filter 'EnduranceTests|aServerThatHangs'

build: install ## Builds the executables for use, under .build/release.
	swift build -c release

bench: install ## Measures against the bars; fails where one is missed.
	@./Benchmarks/run

format: ## Lays out all Swift source as .swift-format says.
	swift format --in-place --recursive $(SOURCES)

lint: ## Checks layout, documentation comments and forbidden words.
	swift format lint --strict --recursive $(SOURCES)
	./.ci/check-source $(SOURCES)

clean: ## Removes what was built.
	rm -rf .build .venv
