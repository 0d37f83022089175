#!/usr/bin/env bash
# Prints the path of a Python that has datasketch, which it installs from PyPI the first time, into `$VERTIGO_MLX_CACHE` or
# `~/.cache/vertigo`. Says on stderr what it does.
set -euo pipefail
versions=(numpy==2.4.6 datasketch==2.0.0)
name=datasketch-${versions[1]#*==}
. "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
if [ ! -f "$venv/ready" ]; then
  echo "installing ${versions[*]} in $venv" >&2
  python3 -m venv --clear "$venv" >&2
  "$venv/bin/pip" install -q --disable-pip-version-check "${versions[@]}" >&2
  touch "$venv/ready"
fi
echo "$venv/bin/python"
