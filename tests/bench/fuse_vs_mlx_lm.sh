#!/usr/bin/env bash
# Fusing beside mlx-lm: the same random Qwen3.5 of about 55 M parameters in 4 bits with an adapter on all its layers, on the CPU, as
# `mlx_lm.fuse` does it: in the base's own bits, each value rounded to the nearest, not measured. The two take turns, so that whatever else
# the machine does is shared between them. Prints every run's JSON line, and at the end our part of the peer's time, by medians, and of its
# peak memory beyond the largest layer. Neither side's time has the start of its process in it.
#
#   tests/bench/fuse_vs_mlx_lm.sh [TURNS]          default: 5
#
# VERTIGO_PEER is the script that makes the model (default: ../shared/bench/peer_mlx_lm.py beside the repository).
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$repo/tests/bench/blas.sh"
peer=${VERTIGO_PEER:-$repo/../shared/bench/peer_mlx_lm.py}
turns=${1:-5}
cache=${VERTIGO_MLX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vertigo}
[ -f "$peer" ] || { echo "no peer at $peer: set VERTIGO_PEER" >&2; exit 1; }

python=$("$repo/tests/peer/mlx_lm.sh")
theirs=$repo/tests/bench/fuse_mlx_lm.py
model=$cache/bench-model-60m-4bit
adapter=$cache/bench-adapter-60m-4bit
[ -f "$model/config.json" ] || "$python" "$peer" make "$model" --bits 4
[ -f "$adapter/adapter_config.json" ] || "$python" "$theirs" adapter "$model" "$adapter"
cd "$repo"
cargo bench -q -p vertigo-engine --bench fuse --no-run
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for _ in $(seq "$turns"); do
  cargo bench -q -p vertigo-engine --bench fuse -- "$model" "$adapter" "$out/ours" | grep '^{'
  "$python" "$theirs" fuse "$model" "$adapter" "$out/theirs" | grep '^{'
done | tee "$out/lines"
"$python" - "$model" "$out/lines" <<'PY'
import json, sys, statistics
from pathlib import Path
from safetensors import safe_open

sizes = {}
for file in Path(sys.argv[1]).glob("*.safetensors"):
    with safe_open(file, "np") as tensors:
        for name in tensors.keys():
            if ".layers." in name:
                layer = name.split(".layers.")[1].split(".")[0]
                width = {"U32": 4, "F32": 4, "BF16": 2, "F16": 2}[tensors.get_slice(name).get_dtype()]
                count = 1
                for n in tensors.get_slice(name).get_shape():
                    count *= n
                sizes[layer] = sizes.get(layer, 0) + count * width
layer = max(sizes.values()) / 1e6
lines = [json.loads(line) for line in open(sys.argv[2])]
of = lambda peer, key: [line[key] for line in lines if line["peer"] == peer]
time = statistics.median(of("vertigo", "s")) / statistics.median(of("mlx-lm", "s"))
beyond = [max(0.0, max(of(peer, "mlx_peak_MB")) - layer) for peer in ("vertigo", "mlx-lm")]
print(f"{time:.2f} of mlx-lm's time, {beyond[0] / beyond[1]:.3f} of its peak memory beyond the largest layer "
      f"({layer:.1f} MB as it is stored): {beyond[0]:.1f} MB and {beyond[1]:.1f} MB")
PY
