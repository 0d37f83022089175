#!/usr/bin/env bash
# A conversation's next turn beside mlx-lm's server: the same random Qwen3.5 of about 55 M parameters in f32, on the CPU, both with
# OpenBLAS, asked over HTTP by the same client. Prints both sides' JSON lines and ours to theirs.
#
#   tests/bench/serve_vs_mlx_lm.sh [TURNS]          default: 5
#
# VERTIGO_PEER is the script that makes the model (default: ../shared/bench/peer_mlx_lm.py beside the repository).
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$repo/tests/bench/blas.sh"
peer=${VERTIGO_PEER:-$repo/../shared/bench/peer_mlx_lm.py}
turns=${1:-5}
cache=${VERTIGO_MLX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vertigo}
client=$repo/tests/bench/conversation.py

python=$("$repo/tests/peer/mlx_lm.sh")
bench=$cache/bench-model-60m
model=$cache/bench-model-60m-words
[ -f "$bench/config.json" ] || [ -f "$peer" ] || { echo "no peer at $peer: set VERTIGO_PEER" >&2; exit 1; }
[ -f "$bench/config.json" ] || "$python" "$peer" make "$bench"
[ -f "$model/tokenizer_config.json" ] || "$python" "$client" model "$bench" "$model"
cd "$repo"
cargo build -q --release -p vertigo-worker

folder=$(mktemp -d)
pid=
finish() { [ -z "$pid" ] || { kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; } || true; }
trap 'finish; rm -rf "$folder"' EXIT
# Waits until the server at a URL answers, and ends with its log where its process does.
ready() {
  for _ in $(seq 600); do
    curl -sf "$1/v1/models" > /dev/null && return
    kill -0 "$pid" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
    sleep 0.1
  done
  echo "the server at $1 is not ready after a minute" >&2
  exit 1
}

target/release/vertigo-worker serve "words=$model" --listen 127.0.0.1:0 > "$folder/out" 2> "$folder/log" &
pid=$!
for _ in $(seq 600); do [ -s "$folder/out" ] && break; sleep 0.1; done
url=$(grep -o 'http://[0-9.:]*' "$folder/out" | head -n 1)
ready "$url"
a=$(python3 "$client" ask "$url" words "$turns")
finish

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$python" -c 'import mlx.core as mx; mx.set_default_device(mx.cpu)
from mlx_lm.server import main; main()' --model "$model" --port "$port" > /dev/null 2> "$folder/log" &
pid=$!
ready "http://127.0.0.1:$port"
b=$(python3 "$client" ask "http://127.0.0.1:$port" "$model" "$turns")
printf '%s\n%s\n' "$a" "$b"
python3 - "$a" "$b" <<'PY'
import json, sys
ours, theirs = map(json.loads, sys.argv[1:])
for what in ("first_turn_s", "next_turn_s"):
    print(f"{what}: {ours[what]:.3f} to {theirs[what]:.3f}, {ours[what] / theirs[what]:.3f} of mlx-lm's server")
PY
