#!/usr/bin/env bash
# Training beside mlx-lm: the same random Qwen3.5 of about 55 M parameters, adapters on the last 8 layers, batch 1, f32, on the CPU,
# both with OpenBLAS. Prints both sides' JSON lines and, for each length, how much faster ours is and its part of the peer's peak.
#
#   tests/bench/train_vs_mlx_lm.sh [SEQ…]          default: 256 1024
#
# VERTIGO_PEER is the peer's script (default: ../shared/bench/peer_mlx_lm.py beside the repository), ITERS the steps (default 3).
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$repo/tests/bench/blas.sh"
peer=${VERTIGO_PEER:-$repo/../shared/bench/peer_mlx_lm.py}
iters=${ITERS:-3}
cache=${VERTIGO_MLX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vertigo}
[ $# -gt 0 ] || set -- 256 1024
[ -f "$peer" ] || { echo "no peer at $peer: set VERTIGO_PEER" >&2; exit 1; }

python=$("$repo/tests/peer/mlx_lm.sh")
model=$cache/bench-model-60m
[ -f "$model/config.json" ] || "$python" "$peer" make "$model"
cd "$repo"
ours() { cargo bench -q -p vertigo-engine --bench train -- "$model" --seq "$1" --iters "$iters"; }
theirs() { "$python" "$peer" train "$model" --seq "$1" --iters "$iters"; }
for seq in "$@"; do
  a=$(ours "$seq" | grep '^{')
  b=$(theirs "$seq" | grep '^{')
  printf '%s\n%s\n' "$a" "$b"
  python3 - "$a" "$b" <<'PY'
import json, sys
ours, theirs = map(json.loads, sys.argv[1:])
print(f"seq {ours['seq']}: {ours['tokens_per_s'] / theirs['tokens_per_s']:.2f} times the tokens/s of mlx-lm, "
      f"{ours['mlx_peak_MB'] / theirs['mlx_peak_MB']:.3f} of its peak memory")
PY
done
