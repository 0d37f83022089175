#!/bin/sh
# Builds the programs of an earlier release, once: earlier_release.sh COMMIT prints the folder that they lie in. The cache is
# $VERTIGO_MLX_CACHE, or ~/.cache/vertigo; VERTIGO_EARLIER_PROGRAMS names a folder where they are built already.
set -eu
commit=${1:?"which release: a commit"}
cd "$(dirname "$0")/../.."
if [ -n "${VERTIGO_EARLIER_PROGRAMS:-}" ]; then
    echo "$VERTIGO_EARLIER_PROGRAMS"
    exit
fi
commit=$(git rev-parse --verify --short=12 "$commit^{commit}")
cache=${VERTIGO_MLX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vertigo}/releases/$commit
programs=$cache/target/debug
if [ ! -e "$cache/built" ]; then
    echo "building $commit in $cache" >&2
    [ -e "$cache/Cargo.toml" ] || { git worktree prune && git worktree add --quiet --detach "$cache" "$commit" >&2; }
    # MLX is the same: mlx-sys and its build are pinned. Linked files cost no room.
    if [ -e target/mlx ] && [ ! -e "$cache/target/mlx" ]; then
        mkdir -p "$cache/target" && cp -a target/mlx "$cache/target/"
    fi
    (cd "$cache" && cargo build -p vertigo-coordinator -p vertigo-worker -p vertigo-cli --bins) >&2
    touch "$cache/built"
fi
echo "$programs"
