#!/usr/bin/env bash
# The coordinator under load: a long queue and a long past, jobs through it by real gRPC, and the placing alone. JSON lines, one for each
# figure; README.md has them as a table. It takes about five minutes, 3 GB of memory and 3 GB of disk.
#
#   tests/bench/queue.sh [JOBS]          default: 1000000
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mkdir -p target/tmp
bench() { cargo bench --quiet -p vertigo-coordinator --bench "$@"; }
bench queue -- "${1:-1000000}"
bench through -- 6000 4
bench wide
bench put -- 1024 target/tmp
bench placing
