#!/usr/bin/env bash
# Prints the path of a Python that has scipy and statsmodels, which it installs from PyPI the first time, into
# `$VERTIGO_MLX_CACHE` or `~/.cache/vertigo`. Says on stderr what it does. Used to write the figures that our statistics are
# compared with:
# `$(tests/peer/statistics.sh) tests/peer/statistics.py > worker/evaluation/tests/golden/statistics.json`.
set -euo pipefail
versions=(numpy==2.4.6 scipy==1.17.1 statsmodels==0.15.0)
cache=${VERTIGO_MLX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vertigo}
venv=$cache/statistics-${versions[1]#*==}-${versions[2]#*==}

mkdir -p "$cache"
if [ ! -f "$venv/ready" ] && [ -z "${LOCKED:-}" ]; then
  # One process installs, the others wait. By Python, because macOS has no flock; the lock goes with the process.
  exec env LOCKED=1 python3 -c 'import fcntl, subprocess, sys
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
sys.exit(subprocess.run(sys.argv[2:]).returncode)' "$venv.lock" bash "${BASH_SOURCE[0]}"
fi
if [ ! -f "$venv/ready" ]; then
  echo "installing ${versions[*]} in $venv" >&2
  python3 -m venv --clear "$venv" >&2
  "$venv/bin/pip" install -q --disable-pip-version-check "${versions[@]}" >&2
  touch "$venv/ready"
fi
echo "$venv/bin/python"
