#!/usr/bin/env bash
# Answers beside mlx-lm's: the same random Qwen3.5 of about 55 M parameters, f32, on the CPU, both with OpenBLAS. Runs both sides in turn,
# ROUNDS times, and prints all JSON lines and, for each measurement, the ratio of the medians.
#
#   tests/bench/generate_vs_mlx_lm.sh [decode|prefill|shared|turn|start]…          default: all
#
# VERTIGO_PEER is the script that makes the model (default: ../shared/bench/peer_mlx_lm.py beside the repository), ROUNDS 3 by default.
# `turn` is compared with mlx-lm going on from a cache that it kept, which is the best that its server can do.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$repo/tests/bench/blas.sh"
maker=${VERTIGO_PEER:-$repo/../shared/bench/peer_mlx_lm.py}
cache=${VERTIGO_MLX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vertigo}
[ $# -gt 0 ] || set -- start decode prefill shared turn

python=$("$repo/tests/peer/mlx_lm.sh")
model=$cache/bench-model-60m
if [ ! -f "$model/config.json" ]; then
  [ -f "$maker" ] || { echo "no script at $maker to make the model with: set VERTIGO_PEER" >&2; exit 1; }
  "$python" "$maker" make "$model"
fi
cd "$repo"
cargo bench -q -p vertigo-engine --bench generate --no-run
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
# A process for each measurement, so that none begins with another's caches.
for _ in $(seq "${ROUNDS:-3}"); do
  for work in "$@"; do
    cargo bench -q -p vertigo-engine --bench generate -- "$model" "$work" | grep '^{' | tee -a "$lines"
    "$python" "$repo/tests/peer/generate.py" "$model" "$work" | grep '^{' | tee -a "$lines"
  done
done
python3 - "$lines" <<'PY'
import json, statistics, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
figures = {"start": "start_to_first_token_s", "decode": "tokens_per_s", "prefill": "first_token_s", "shared": "seconds", "turn": "first_token_s"}
for work in dict.fromkeys(line["work"] for line in lines):
    key = figures[work]
    median = lambda peer: statistics.median(line[key] for line in lines if (line["peer"], line["work"]) == (peer, work))
    ours, theirs = median("vertigo"), median("mlx-lm")
    print(f"{work}: {key} {ours:.3f}, mlx-lm {theirs:.3f}; {ours / theirs:.2f} times theirs, {theirs / ours:.2f} the other way round")
PY
