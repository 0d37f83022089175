# `make test` sets up what is missing first.
.PHONY: setup test lint

setup:
	@deploy/mlx-linux/setup.sh

test: setup
	cargo test -p vertigo -p vertigo-engine

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
