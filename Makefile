# Every target first makes sure that the machine can build (xtask/bootstrap.sh), then calls cargo.
# The whole workspace is selected each time: another selection would change the features of shared
# dependencies and compile them again.

NODES ?= 4
LOAD ?= 5000
DURATION ?= 1200
FUZZ_SECONDS ?= 60
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help bootstrap build localnet test lint bench torture fuzz

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

bootstrap: ## Check the tools, install what is missing, compile RocksDB once
	@xtask/bootstrap.sh

build: bootstrap ## Build all binaries into target/release
	cargo build --release --workspace --bins --locked

localnet: build ## Run NODES operators on this machine under LOAD transactions per second
	$(TARGET_DIR)/release/squad localnet up --nodes $(NODES) --load $(LOAD)

test: lint ## Everything CI checks: lint, then all tests
	cargo test --release --workspace --locked

lint: bootstrap ## Formatting, clippy and crate dependencies; changes nothing
	cargo xtask verify

bench: bootstrap ## Micro-benchmarks
	cargo bench --workspace --locked

torture: build ## Break real processes, disks and links for DURATION seconds, audited after each fault
	$(TARGET_DIR)/release/squad-torture --seconds $(DURATION)

fuzz: bootstrap ## Feed hostile bytes to every decoder and core, FUZZ_SECONDS for each
	SQUAD_FUZZ_SECONDS=$(FUZZ_SECONDS) cargo test --release --workspace --locked -- \
		--nocapture fuzz damaged_lists image_tests
