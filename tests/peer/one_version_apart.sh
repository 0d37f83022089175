#!/usr/bin/env bash
# One version apart, for real: coordinator, worker and CLI, each of an earlier release or of this one, do the main job together. Builds the
# earlier release into a cache the first time (earlier_release.sh); this one has to be built: cargo build --workspace --bins. A minute or
# two, on a busy machine four.
#
#   tests/peer/one_version_apart.sh COMMIT
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
old=$(tests/peer/earlier_release.sh "${1:?"which release: a commit"}")
new=$PWD/target/debug
data=$PWD/tests/data/luau
mkdir -p target/tmp
scratch=$(mktemp -d "$PWD/target/tmp/apart.XXXXXX")
running=()
say() { printf '%s\n' "$*" >&2; }
die() { say "FAILED: $*"; for log in "$scratch"/*/*.log; do say "--- $log ---"; tail -n 20 "$log" >&2; done; exit 1; }
end() {
  for process in "${running[@]}"; do kill -KILL "$process" 2> /dev/null || true; done
  for process in "${running[@]}"; do wait "$process" 2> /dev/null || true; done
  running=()
}
trap 'end; rm -rf "$scratch"' EXIT

# Waits until a file has a line, for half a minute: line FILE PATTERN
line() {
  for _ in $(seq 300); do
    grep -m 1 -- "$2" "$1" 2> /dev/null && return
    sleep 0.1
  done
  die "no \`$2\` in $1"
}

# coordinator FOLDER, which has the programs; an address that it had it gets again.
coordinator() {
  "$1/vertigo-coordinator" --listen "${address:-127.0.0.1:0}" --lease 30s --state "$here/coordinator" \
    > "$here/coordinator.out" 2>> "$here/coordinator.log" &
  running+=($!)
  coordinator=$!
  address=$(line "$here/coordinator.out" http:// | sed 's/.*http:\/\///')
  export VERTIGO_COORDINATOR=http://$address
}

# worker FOLDER NAME
worker() {
  "$1/vertigo-worker" --name "$2" --memory 4GiB --state "$here/$2" > "$here/$2.out" 2>> "$here/$2.log" &
  running+=($!)
  line "$here/$2.out" connected > /dev/null
}

# What somebody does with a fleet, by the CLI in the folder: job FOLDER MODEL
job() {
  "$1/vertigo" train "$here/mini.yaml" --data luau --name "adapter-$2" --follow > "$here/train.out" || die "train: $(cat "$here/train.out")"
  "$1/vertigo" fuse "adapter-$2" --name "$2" --measure none --follow > "$here/fuse.out" || die "fuse: $(cat "$here/fuse.out")"
  "$1/vertigo" get "$2" "$here/fetched-$2" > /dev/null || die "get"
  [ -s "$here/fetched-$2/model.safetensors" ] || die "no model in $(ls "$here/fetched-$2")"
}

# A command of the CLI that has to be refused within five seconds, and why: refused FOLDER WORDS ARGUMENT…
refused() {
  local programs=$1 words=$2 begun=$SECONDS
  shift 2
  "$programs/vertigo" "$@" > "$here/refused.out" 2>&1 && die "vertigo $* went well"
  grep -q -- "$words" "$here/refused.out" || die "vertigo $*: $(cat "$here/refused.out")"
  [ $((SECONDS - begun)) -lt 5 ] || die "vertigo $* took $((SECONDS - begun)) s"
  say "  vertigo $*: $(head -n 1 "$here/refused.out")"
}

# A fleet anew: begin NAME COORDINATOR WORKER CLI
begin() {
  end
  unset address
  here=$scratch/$1
  mkdir "$here"
  cat > "$here/mini.yaml" << YAML
model: mini
num_layers: 2
iters: 6
batch_size: 1
max_seq_length: 256
mask_prompt: true
learning_rate: 1.0e-3
steps_per_report: 1
steps_per_eval: 1000
val_batches: 2
save_every: 3
YAML
  say "$1: coordinator, worker, CLI"
  coordinator "$2"
  worker "$3" mac
  "$4/vertigo" data import luau "$data" > /dev/null || die "import"
  "$4/vertigo" base new mini --preset mini-4b --data luau > /dev/null || die "base"
  job "$4" model
  say "  a train and a fuse: well"
}

begin new-old-new "$new" "$old" "$new"
# The machines of a fleet are upgraded one after another. Whoever is too old to be told is said to be, at once.
refused "$new" "earlier release" upgrade mac
refused "$new" "earlier release" worker set mac --when on-ac
worker "$new" studio
"$new/vertigo" upgrade studio > "$here/upgrade.out" || die "upgrade"
say "  $(cat "$here/upgrade.out")"
# A daemon that is replaced: the same folder, the next release.
kill "${running[1]}" && wait "${running[1]}" || die "the earlier worker"
worker "$new" mac
"$new/vertigo" upgrade mac > "$here/upgrade.out" || die "upgrade"
say "  $(cat "$here/upgrade.out")"

begin new-old-old "$new" "$old" "$old"
begin new-new-old "$new" "$new" "$old"

begin old-new-new "$old" "$new" "$new"
refused "$new" "does not know this call" upgrade mac
# The coordinator is replaced: the next release takes its state over, and its worker dials again.
kill "$coordinator" && wait "$coordinator" || die "the earlier coordinator"
coordinator "$new"
"$new/vertigo" jobs > "$here/jobs.out" || die "jobs"
grep -q adapter-model "$here/jobs.out" || die "the jobs are not there: $(cat "$here/jobs.out")"
job "$new" later
say "  the coordinator's state, taken over, and a train and a fuse: well"

begin old-old-new "$old" "$old" "$new"
say "all of them understand each other"
