# Read by the benchmarks before either side runs. An OpenBLAS that does not know a processor takes its oldest kernels (0.3.21 on newer
# EPYCs: those for SSE3, a fifth of the speed), and both sides would then measure little else. They are told the kernels that the processor
# has; OPENBLAS_CORETYPE in the environment goes before.
if [ -z "${OPENBLAS_CORETYPE:-}" ] && [ -r /proc/cpuinfo ]; then
  if grep -qw avx512f /proc/cpuinfo; then
    export OPENBLAS_CORETYPE=SKYLAKEX
  elif grep -qw avx2 /proc/cpuinfo; then
    export OPENBLAS_CORETYPE=HASWELL
  fi
fi
[ -z "${OPENBLAS_CORETYPE:-}" ] || echo "OPENBLAS_CORETYPE=$OPENBLAS_CORETYPE" >&2
