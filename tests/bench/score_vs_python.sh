#!/usr/bin/env bash
# The benchmark's scorer beside the same in Python, over answers that the pipeline scored: both take turns, each has its tasks ready before
# the clock starts (Python keeps its compiled patterns itself). Prints answers a second of either, and their ratio by medians.
#
#   tests/bench/score_vs_python.sh [TURNS] [SECONDS]          default: 5 turns of 2 s
#
# VERTIGO_SHARED is the folder with the answers and tasks (default: ../shared beside the repository).
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
shared=${VERTIGO_SHARED:-$repo/../shared}
answers=$shared/golden/benchmark_v2_scores.jsonl
tasks=$shared/data/vertigo/benchmark.jsonl
turns=${1:-5}
seconds=${2:-2}
[ -f "$answers" ] || { echo "SKIPPED: there is no $answers" >&2; exit 0; }

cd "$repo"
cargo bench -q -p vertigo-evaluation --bench scoring --no-run
ours=() theirs=()
for _ in $(seq "$turns"); do
  ours+=("$(cargo bench -q -p vertigo-evaluation --bench scoring -- rate "$answers" "$tasks" "$seconds")")
  theirs+=("$(python3 -W ignore tests/peer/scores.py --rate "$answers" "$tasks" "$seconds")")
  echo "ours ${ours[-1]}/s, Python ${theirs[-1]}/s"
done
python3 - "${ours[*]}" "${theirs[*]}" <<'PYTHON'
import statistics, sys
ours, theirs = (statistics.median(map(float, side.split())) for side in sys.argv[1:])
print(f"{ours / theirs:.1f} times Python's: {ours:.0f} beside {theirs:.0f} answers a second")
PYTHON
cargo bench -q -p vertigo-evaluation --bench scoring -- contamination "$tasks" "$shared"/data/vertigo/raw/*.jsonl
