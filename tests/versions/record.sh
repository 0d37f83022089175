#!/bin/sh
# Makes tests/versions/previous of another release: its protocol, and a session of its worker with its coordinator, for the tests of what is
# one version apart. Once after each release, with its commit.
set -eu
commit=${1:?"which release: a commit"}
cd "$(dirname "$0")/../.."
programs=$(tests/peer/earlier_release.sh "$commit")
to=tests/versions/previous
rm -rf "$to" && mkdir -p "$to"
git archive "$commit" proto/vertigo | tar -x -C "$to"
git rev-parse --short=7 "$commit" >"$to/COMMIT"
VERTIGO_PREVIOUS_PROGRAMS=$programs cargo test -p vertigo-tests --test versions written_down -- --ignored --nocapture
du -sh "$to"
