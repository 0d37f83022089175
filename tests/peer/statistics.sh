#!/usr/bin/env bash
# Prints the path of a Python that has scipy and statsmodels, which it installs from PyPI the first time, into
# `$VERTIGO_MLX_CACHE` or `~/.cache/vertigo`. Says on stderr what it does. Used to write the figures that our statistics are
# compared with:
# `$(tests/peer/statistics.sh) tests/peer/statistics.py > worker/evaluation/tests/golden/statistics.json`.
set -euo pipefail
versions=(numpy==2.4.6 scipy==1.17.1 statsmodels==0.15.0)
name=statistics-${versions[1]#*==}-${versions[2]#*==}
. "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
if [ ! -f "$venv/ready" ]; then
  echo "installing ${versions[*]} in $venv" >&2
  python3 -m venv --clear "$venv" >&2
  "$venv/bin/pip" install -q --disable-pip-version-check "${versions[@]}" >&2
  touch "$venv/ready"
fi
echo "$venv/bin/python"
