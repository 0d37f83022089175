# Each target sets up what is missing first, and says what it does.
.PHONY: demo test faults sim lint dist setup

# The main job end to end. VERTIGO_DATA=DIR trains on another folder of JSONL.
demo: setup
	@deploy/demo/run.sh

# The binaries too: the tests that cross processes start them.
test: setup
	cargo build --workspace --bins --tests
	@tests/all.sh

# The session protocol, simulated: SEEDS histories from FIRST on, or the one of SEED. The same seed is the same history.
SEEDS ?= 10000
sim: setup
	SEEDS=$(SEEDS) cargo test --release -p vertigo-tests --test sim -- --nocapture whatever

# Breaks a real fleet for MINUTES, as SEED draws it (a random one, printed, unless given), and checks that nothing was lost. The build is that
# of the tests: of the programs alone, crates would have other features and be built anew.
MINUTES ?= 2
faults: setup
	cargo build --workspace --bins --tests
	target/debug/faults --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings

# What is given away for this platform, in target/packages: a tarball with everything in it, and its sums.
dist: setup
	@deploy/dist.sh

setup:
	@deploy/setup.sh
