#!/usr/bin/env bash
# Makes tests/versions/previous anew, of another release: its protocol, and a session of its worker with its coordinator, for the tests of
# what is one version apart. Once after each release, with its commit.
#
#   tests/versions/record.sh COMMIT
set -euo pipefail
commit=${1:?"which release: a commit"}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
programs=$(tests/peer/earlier_release.sh "$commit")
kept=tests/versions/previous
rm -rf "$kept"
mkdir -p "$kept"
git archive "$commit" proto/vertigo | tar -x -C "$kept"
git rev-parse --short=7 "$commit" > "$kept/COMMIT"
VERTIGO_EARLIER_PROGRAMS=$programs cargo test -p vertigo-tests --test versions written_down -- --ignored --nocapture
