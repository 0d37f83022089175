#!/usr/bin/env bash
# Near duplicates of synthetic rows of 1 kB, of which 5 % were made of others: the curation's stage, which verifies what it finds, beside
# datasketch with the same banding, which does not; both take turns. Then ours alone as the rows grow tenfold, and over rows that are all
# nearly the same. JSON lines and the ratio by medians. Ours needs about 2 GB for a million rows.
#
#   tests/bench/near_vs_datasketch.sh [TURNS] [ROWS]          default: 3 turns of 100000 rows; datasketch takes minutes for them
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
turns=${1:-3}
rows=${2:-100000}
python=$(tests/peer/datasketch.sh)
made=$(mktemp)
trap 'rm -f "$made"' EXIT

cargo bench -q -p vertigo-curation --bench near --no-run
bench() { cargo bench -q -p vertigo-curation --bench near -- "$@"; }
bench write "$rows" "$made"
ours=() theirs=()
for _ in $(seq "$turns"); do
  ours+=("$(bench near "$rows")")
  # 16 bands of 6: `Banding::of(0.8)`, which a test holds.
  theirs+=("$("$python" tests/bench/near_vs_datasketch.py "$made" "$rows" 16 6)")
  echo "ours       ${ours[-1]}"
  echo "datasketch ${theirs[-1]}"
done
printf '%s\n' "${ours[@]}" --- "${theirs[@]}" | python3 -c '
import json, statistics, sys
ours, theirs = ([json.loads(line) for line in side.splitlines() if line] for side in sys.stdin.read().split("---"))
rate = lambda side: statistics.median(row["rows"] / row["seconds"] for row in side)
print(f"{rate(ours) / rate(theirs):.1f} times datasketch: {rate(ours):.0f} beside {rate(theirs):.0f} rows a second")'
for rows in 10000 100000 1000000; do
  echo "grows      $(bench near "$rows")"
done
echo "hot        $(bench hot 100000)"
