# Two commands: `make demo` and `make test`. Each sets up what is missing first.
.PHONY: setup demo test lint bench

setup:
	@deploy/mlx-linux/setup.sh

test: setup
	cargo test --workspace --all-features

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
