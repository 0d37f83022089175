#!/usr/bin/env bash
# The pipeline's verdicts over its public rows (what is rejected, what is there again), ours beside plain Python that compares every pair as
# the pipeline does: both take turns, each has its rows ready before the clock starts. Compares the verdicts of all rows. Prints the seconds
# of either, and their ratio by medians. Last, how ours grows where all rows are nearly alike and yet none is left out.
#
#   tests/bench/curate_vs_python.sh [TURNS]          default: 3 turns
#
# VERTIGO_SHARED is the folder with the rows (default: ../shared beside the repository).
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
shared=${VERTIGO_SHARED:-$repo/../shared}
rows=$shared/data/vertigo/raw
turns=${1:-3}
[ -d "$rows" ] || { echo "SKIPPED: there is no $rows" >&2; exit 0; }

cd "$repo"
cargo bench -q -p vertigo-curation --bench dedup --no-run
found=$(mktemp -d)
trap 'rm -r "$found"' EXIT
ours=() theirs=()
for _ in $(seq "$turns"); do
  cargo bench -q -p vertigo-curation --bench dedup -- time "$rows" > "$found/ours"
  python3 tests/peer/curation.py time "$rows" > "$found/theirs"
  diff <(tail -n +2 "$found/ours") <(tail -n +2 "$found/theirs") || { echo "the verdicts differ" >&2; exit 1; }
  ours+=("$(head -n 1 "$found/ours")")
  theirs+=("$(head -n 1 "$found/theirs")")
  echo "ours ${ours[-1]} s, Python ${theirs[-1]} s, $(tail -n +2 "$found/ours" | wc -l) verdicts equal"
done
python3 - "${ours[*]}" "${theirs[*]}" <<'PYTHON'
import statistics, sys
ours, theirs = (statistics.median(map(float, side.split())) for side in sys.argv[1:])
print(f"{theirs / ours:.0f} times as fast as Python: {ours * 1000:.1f} ms beside {theirs:.2f} s")
PYTHON
cut -d' ' -f1-3 /proc/loadavg 2>/dev/null | sed 's/^/load /' || true
for rows in 1000 2000 4000; do
  cargo bench -q -p vertigo-curation --bench dedup -- dense "$rows"
done
