#!/usr/bin/env bash
# Prints the folder of an earlier release's programs, which it builds the first time, from git, into `$VERTIGO_MLX_CACHE` or
# `~/.cache/vertigo`. Says on stderr what it does. `$VERTIGO_EARLIER_PROGRAMS` is such a folder where they were built already.
#
#   tests/peer/earlier_release.sh COMMIT
set -euo pipefail
commit=${1:?"which release: a commit"}
if [ -n "${VERTIGO_EARLIER_PROGRAMS:-}" ]; then
  echo "$VERTIGO_EARLIER_PROGRAMS"
  exit
fi
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
commit=$(git rev-parse --verify --short=12 "$commit^{commit}")
release=${VERTIGO_MLX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vertigo}/releases/$commit
if [ ! -e "$release/target/built" ]; then
  echo "building $commit in $release: some minutes, and 5 GB of disk" >&2
  if [ ! -e "$release/Cargo.toml" ]; then
    git worktree prune
    git worktree add --quiet --detach "$release" "$commit" >&2
  fi
  (cd "$release" && deploy/setup.sh && cargo build -p vertigo-coordinator -p vertigo-worker -p vertigo-cli --bins) >&2
  touch "$release/target/built"
fi
echo "$release/target/debug"
