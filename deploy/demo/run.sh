#!/usr/bin/env bash
# The main job end to end on this machine: a coordinator, two workers, raw rows and bases, a pipeline of a curation and two training jobs,
# each with three candidate recipes, a fused model of each adapter, a service that answers with base, adapter and fused model, what their
# answers are worth, and a promotion. Called by `make demo`. VERTIGO_DATA=DIR trains on another folder of JSONL, by the rules that hold
# where a config says nothing; VERTIGO_CURATION=FILE is another config.
#
# The bases are miniatures of the real architecture with random weights: what is real is everything else. What the two workers
# offer is to full-rank training of mini-4b (90 MiB) as what Metal offers on a 36 GB and a 128 GB Mac (24 and 96 GiB) is to
# full-rank training of Qwen3.5-4B (56 GiB): more than the one and less than the other, so the same decision is taken.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${VERTIGO_DATA:-tests/data/luau}
curation=${VERTIGO_CURATION:-${VERTIGO_DATA:+/dev/null}}
recipes=(tests/recipes/4b-full.yaml tests/recipes/9b-qlora.yaml tests/recipes/4b-qlora.yaml)
home=target/demo
step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || step() { printf '\n%s\n' "$*"; }
run() { printf '$ vertigo %s\n' "$*"; vertigo "$@"; }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }
[ -d "$data" ] || die "VERTIGO_DATA: there is no folder $data"

step "Building (the first time takes some minutes)"
cargo build --workspace --bins
PATH=$PWD/target/debug:$PATH

rm -rf "$home"
mkdir -p "$home"
pids=()
finish() {
  # Workers first: told to end, they say goodbye to a coordinator that still listens.
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do kill "${pids[i]}" 2>/dev/null && wait "${pids[i]}" 2>/dev/null || true; done
}
trap finish EXIT

# Starts a process and waits for the line that says it is ready.
start() {
  local name=$1; shift
  "$@" > "$home/$name.out" 2> "$home/$name.log" &
  pids+=($!)
  for _ in $(seq 300); do
    [ -s "$home/$name.out" ] && { cat "$home/$name.out"; return; }
    kill -0 $! 2>/dev/null || { cat "$home/$name.log" >&2; die "$name ended at once"; }
    sleep 0.1
  done
  die "$name is not ready after 30 s; see $home/$name.log"
}

step "A coordinator and two workers"
start coordinator vertigo-coordinator --listen 127.0.0.1:0 --state "$home/coordinator"
export VERTIGO_COORDINATOR
VERTIGO_COORDINATOR=$(sed 's/.*listening on //' "$home/coordinator.out")
start mac-36gb vertigo-worker --name mac-36gb --memory 50MiB --state "$home/mac-36gb"
start mac-128gb vertigo-worker --name mac-128gb --memory 200MiB --state "$home/mac-128gb"
run workers

step "The decision for the real models, without running them"
run plan tests/recipes/real/{4b-full,9b-qlora,4b-qlora}.yaml --memory 36GiB --memory 128GiB

step "Raw rows, a suite that shall not be among them, and three bases to choose from"
mkdir -p "$home/raw" "$home/pipeline"
cp "$data"/*.jsonl "$home/raw"
[ -n "${VERTIGO_DATA:-}" ] || cp deploy/demo/raw/*.jsonl "$home/raw"
run data import raw "$home/raw" --raw
run suite import luau-suite
run base new mini-4b --preset mini-4b --data "$data"
run base new mini-4b-4bit --preset mini-4b --bits 4 --data "$data"
run base new mini-9b-4bit --preset mini-9b --bits 4 --data "$data"

step "What each recipe needs, and where it would go"
run plan "${recipes[@]}"

step "One pipeline: a dataset of the raw rows, two training runs, each free to be any of the three, and a model of each adapter"
cp deploy/demo/pipeline.yaml "${recipes[@]}" "$home/pipeline"
cat "${curation:-deploy/demo/curation.yaml}" > "$home/pipeline/curation.yaml"
run run "$home/pipeline/pipeline.yaml" --follow

step "What came of it"
run jobs
run data show luau
run data report luau --html "$home/data.html"
[ -n "${VERTIGO_DATA:-}" ] || run data why found.jsonl:4 --data luau
run artifacts --kind model
run get first-model "$home/model"
ls -l "$home/model"

step "One question to the base, to the base with its adapter, and to the fused model"
# The second run's adapter is one of low rank, which a service uses beside the base's weights.
run serve mini-4b-4bit second second-model --cache 32MiB --name api
for _ in $(seq 600); do
  vertigo jobs --kind serve | grep -q 'http://' && break
  sleep 0.1
done
run jobs --kind serve
question='Write a Luau function that adds two numbers.'
for model in mini-4b-4bit second second-model; do
  run chat "$model" --message "$question" --max-tokens 24 --temperature 0
done
run cancel api

step "What runs of their answers to a part of the suite that comes with Vertigo: base, base with adapter, fused model"
# A suite of its own, since a promotion takes reports of whole suites alone.
own=worker/evaluation/suites/luau
mkdir -p "$home/coding/tasks"
cp -r "$own/tasks/coding" "$home/coding/tasks"
sed 's/^name: luau$/name: coding/' "$own/suite.yaml" > "$home/coding/suite.yaml"
run suite import coding "$home/coding"
run eval mini-4b-4bit second second-model --suite coding --samples 1 --tokens-max 64 --name verdict --follow
run report verdict-second-model
run compare verdict-mini-4b-4bit verdict-second-model
run report verdict-second-model --beside verdict-mini-4b-4bit --html "$home/report.html"

step "A tag moves where a gate holds"
# Miniatures of random weights write no Luau that runs: the gate of a real model asks for more than this one.
run promote second-model --to production --gate deploy/demo/gate.yaml
run history production

printf '\nThe model is in %s, its report in %s, its data'"'"'s in %s. Logs and state of this run are in %s.\n' \
  "$home/model" "$home/report.html" "$home/data.html" "$home"
