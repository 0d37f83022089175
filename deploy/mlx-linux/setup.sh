#!/usr/bin/env bash
# Makes real MLX (CPU) usable by cargo on Linux. README.md beside this file says what and why.
# Safe to run again, and at the same time as itself; what is there already is kept.
set -euo pipefail

mlx_version=0.32.2      # what mlx-sys below binds to
mlx_sys_version=0.7.0   # as locked in Cargo.lock
bindgen_version=0.73.2

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
say() { printf 'mlx-linux: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

case "$(uname -s)/$(uname -m)" in
Darwin/*) say "nothing to do: on macOS, cargo builds MLX with Metal itself"; exit 0 ;;
Linux/x86_64) ;;
*) die "MLX for $(uname -s) on $(uname -m) is not set up here; use x86_64 Linux, or a Mac" ;;
esac

key=$(cat "$here/setup.sh" "$here/compat.hpp" "$here/half.h" "$here/mach.c" | sha256sum | cut -c1-12)
cache=${VERTIGO_MLX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vertigo}
dir=$cache/mlx-$mlx_version-$key
openblas=/usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3

# Cargo rebuilds when a flag changes, so the file is written only when its text does.
write_config() {
  local target=$repo/target/mlx/cargo.toml text
  text="# Written by deploy/mlx-linux/setup.sh.
[target.x86_64-unknown-linux-gnu.mlx]
rustc-link-search = [\"native=$dir\", \"native=$dir/mlx/lib\"]
rustc-link-lib = [\"static=mlxc\", \"dylib=mlx\", \"dylib=stdc++\"]
rustc-env = { OUT_DIR = \"$dir\" }

[target.x86_64-unknown-linux-gnu]
rustflags = [\"-Clink-arg=-Wl,-rpath,$dir/mlx/lib\"]"
  if [ "$(cat "$target" 2>/dev/null)" != "$text" ]; then
    mkdir -p "$(dirname "$target")"
    printf '%s\n' "$text" > "$target"
  fi
}

if [ -f "$dir/bindings.rs" ] && [ -e "$openblas" ]; then
  write_config
  exit 0
fi

command -v cargo >/dev/null || die "cargo is missing: install Rust from https://rustup.rs"

# 1. Debian's packages: only those that are missing.
missing=()
need() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed' || missing+=("$1"); }
for package in g++ make cmake libfmt-dev libopenblas0-pthread libclang1-14 libclang-common-14-dev unzip; do need "$package"; done
python3 -m pip --version >/dev/null 2>&1 || need python3-pip
if [ ${#missing[@]} -gt 0 ]; then
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "install these packages, then run again: ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

mkdir -p "$cache"
exec 9> "$cache/.lock"
flock 9
if [ -f "$dir/bindings.rs" ]; then
  write_config
  exit 0
fi
work=$(mktemp -d "$cache/.building.XXXXXX")
trap 'rm -rf "$work"' EXIT
out=$work/out
mkdir -p "$out"

# 2. MLX itself: the wheel that PyPI ships. Its BLAS is the unoptimised reference; OpenBLAS has the same interface.
say "fetching MLX $mlx_version"
python3 -m pip download -q --no-deps --only-binary :all: "mlx-cpu==$mlx_version" -d "$work"
unzip -q "$work"/mlx_cpu-*.whl -d "$out"
blas=$(find "$out/mlx_cpu.libs" -name 'libblas*.so*' | head -n 1)
[ -n "$blas" ] || die "the wheel has no libblas: has its layout changed?"
ln -sf "$openblas" "$blas"

# 3. mlx-c, from the source that mlx-sys carries. A scratch package makes cargo fetch it without reading our workspace.
mkdir -p "$work/fetch/src"
touch "$work/fetch/src/lib.rs"
printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\nmlx-sys = "=%s"\n[workspace]\n' \
  "$mlx_sys_version" > "$work/fetch/Cargo.toml"
(cd "$work/fetch" && cargo fetch -q)
source=$(ls -d "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/mlx-sys-$mlx_sys_version | head -n 1)/src/mlx-c
[ -f "$source/CMakeLists.txt" ] || die "mlx-sys $mlx_sys_version carries no mlx-c at $source"
say "building mlx-c (half a minute)"
{
  cmake -S "$source" -B "$work/mlx-c" -DMLX_C_USE_SYSTEM_MLX=ON -DMLX_DIR="$out/mlx/share/cmake/MLX" \
    -DMLX_C_BUILD_EXAMPLES=OFF -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS="-include $here/compat.hpp"
  cmake --build "$work/mlx-c" -j "$(nproc)"
} > "$work/mlx-c.log" 2>&1 || { tail -n 30 "$work/mlx-c.log" >&2; die "mlx-c did not build"; }
cc -O2 -fPIC -c "$here/mach.c" -o "$work/mach.o"
cp "$work/mlx-c/libmlxc.a" "$out/"
ar r "$out/libmlxc.a" "$work/mach.o"

# 4. Rust bindings over every header, as mlx-sys makes them on macOS.
bindgen=$cache/bindgen-$bindgen_version/bin/bindgen
if [ ! -x "$bindgen" ]; then
  say "building bindgen (a minute)"
  CARGO_TARGET_DIR="$work/bindgen" cargo install -q bindgen-cli --version "=$bindgen_version" --locked --root "$cache/bindgen-$bindgen_version"
fi
say "making the bindings"
find "$source/mlx/c" -maxdepth 1 -name '*.h' | sort | sed 's/.*/#include "&"/' > "$work/all.h"
"$bindgen" "$work/all.h" --rust-target 1.73 --blocklist-function malloc --blocklist-function realloc \
  --blocklist-type float16_t \
  --raw-line '#[repr(transparent)] #[derive(Debug, Copy, Clone, Default)] pub struct float16_t(pub u16);' \
  -o "$out/bindings.rs" -- -I "$source" -include "$here/half.h"
grep -q 'fn mlx_checkpoint' "$out/bindings.rs" || die "the bindings lack mlx_checkpoint"

rm -rf "$dir"
mv "$out" "$dir"
write_config
say "ready in $dir"
