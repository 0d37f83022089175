# A Python environment that one process makes while others wait. Sourced by the scripts beside it, which say its `name` before; afterwards
# `venv` is its folder, in `$VERTIGO_MLX_CACHE` or `~/.cache/vertigo`. It is whole once it has the file `ready`, which whoever fills it
# writes last.
cache=${VERTIGO_MLX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vertigo}
venv=$cache/$name

mkdir -p "$cache"
if [ ! -f "$venv/ready" ] && [ -z "${LOCKED:-}" ]; then
  # One process installs, the others wait. By Python, because macOS has no flock; the lock goes with the process.
  exec env LOCKED=1 python3 -c 'import fcntl, subprocess, sys
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
sys.exit(subprocess.run(sys.argv[2:]).returncode)' "$venv.lock" bash "$0"
fi
