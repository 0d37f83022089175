#!/usr/bin/env bash
# All tests, in two halves beside one another: the engine's, which compute, and all others, which mostly wait. `make test` calls it once
# everything is built.
set -euo pipefail
cd "$(dirname "$0")/.."

# Names of the test programs whose source lies below worker/engine, or of all others.
programs() {
  cargo metadata --format-version 1 --no-deps \
    | grep -o '"kind":\["test"\],"crate_types":\["bin"\],"name":"[^"]*","src_path":"[^"]*"' \
    | grep "$@" /worker/engine/tests/ \
    | sed 's/.*"name":"\([^"]*\)".*/--test \1/'
}
mapfile -t engine < <(programs -e | tr ' ' '\n')
mapfile -t others < <(programs -v -e | tr ' ' '\n')
[ "${#engine[@]}" -gt 0 ] && [ "${#others[@]}" -gt 0 ] || { echo "tests/all.sh: cargo metadata names no tests" >&2; exit 1; }

log=target/tests-of-the-engine.log
cargo test --workspace --no-fail-fast "${engine[@]}" > "$log" 2>&1 &
half=$!
failed=0
cargo test --workspace --no-fail-fast --lib --bins "${others[@]}" || failed=1
cargo test --workspace --doc || failed=1
wait "$half" || failed=1
cat "$log"
exit "$failed"
