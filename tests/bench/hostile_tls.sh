#!/bin/sh
# A hundred thousand hostile handshakes and requests against a coordinator's process: how long they take, and what memory they leave behind.
#   tests/bench/hostile_tls.sh [NUMBER]
set -eu
cd "$(dirname "$0")/../.."
export VERTIGO_HOSTILE="${1:-100000}"
exec cargo test --locked -p vertigo-coordinator --test server -- --nocapture access::hostile access::offered
