#!/usr/bin/env bash
# Prints the path of a Python that has mlx-lm, which it installs from PyPI the first time, into `$VERTIGO_MLX_CACHE` or
# `~/.cache/vertigo`. Says on stderr what it does. Used by the tests and benchmarks that compare Vertigo with mlx-lm.
set -euo pipefail
version=0.32.2       # of mlx and of mlx-lm
transformers=5.24.0
name=mlx-lm-$version-openblas
openblas=/usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3
. "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
if [ ! -f "$venv/ready" ]; then
  echo "installing mlx-lm $version in $venv" >&2
  mlx="mlx[cpu]==$version"
  [ "$(uname -s)" != Darwin ] || mlx="mlx==$version"
  python3 -m venv --clear "$venv" >&2
  "$venv/bin/pip" install -q --disable-pip-version-check "$mlx" "mlx-lm==$version" "transformers==$transformers" >&2
  # The wheel's BLAS is the unoptimised reference. Ours has OpenBLAS, so the peer gets it too (deploy/mlx-linux/setup.sh).
  blas=$(find "$venv" -path '*mlx_cpu.libs/libblas*.so*' | head -n 1)
  if [ -n "$blas" ] && [ -e "$openblas" ]; then
    ln -sf "$openblas" "$blas"
  fi
  touch "$venv/ready"
fi
echo "$venv/bin/python"
