#!/usr/bin/env bash
# Prints the path of a Python that has OpenAI's client, which it installs from PyPI the first time, into `$VERTIGO_MLX_CACHE` or
# `~/.cache/vertigo`. Says on stderr what it does. Used by the tests of what Vertigo serves.
set -euo pipefail
version=3.57.0
name=openai-$version
. "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
if [ ! -f "$venv/ready" ]; then
  echo "installing openai $version in $venv" >&2
  python3 -m venv --clear "$venv" >&2
  "$venv/bin/pip" install -q --disable-pip-version-check "openai==$version" >&2
  touch "$venv/ready"
fi
echo "$venv/bin/python"
