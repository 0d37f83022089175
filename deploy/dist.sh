#!/usr/bin/env bash
# What is given away for this platform, in target/packages: a tarball with programs, libraries, man pages, completions, units and an SBOM,
# the SBOM by itself, and SHA256SUMS of both. `make dist` calls it. `--binaries DIR` takes programs that are built already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { printf 'dist: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

prefix=/usr/local
programs=(vertigo vertigo-coordinator vertigo-worker)
binaries=
while [ $# -gt 0 ]; do
  case "$1" in
  --binaries) binaries=${2:?--binaries DIR}; shift 2 ;;
  *) die "$1: what is that? There is --binaries DIR" ;;
  esac
done

sums() { if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }
os=$(uname -s | tr '[:upper:]' '[:lower:]')
[ "$os" != darwin ] || os=macos
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
[ -n "$version" ] || die "Cargo.toml names no version"
name=vertigo-$version-$os-$(uname -m)
out=target/packages
stage=$out/$name
rm -rf "$stage"
mkdir -p "$stage"/{bin,share/man/man1,share/vertigo/units,share/doc/vertigo}
mkdir -p "$stage"/share/{bash-completion/completions,zsh/site-functions,fish/vendor_completions.d}

# 1. Programs. Beside the machine's own build, because they look for MLX where install.sh puts it and not where it was built.
if [ -z "$binaries" ]; then
  say "building $name"
  # The dollar is the loader's.
  # shellcheck disable=SC2016
  [ "$os" = macos ] || export RUSTFLAGS='-Clink-arg=-Wl,-rpath,$ORIGIN/../lib/vertigo/mlx/lib'
  cargo build --release --locked --target-dir target/dist -p vertigo-cli -p vertigo-coordinator -p vertigo-worker --bins
  unset RUSTFLAGS
  binaries=target/dist/release
fi
for program in "${programs[@]}"; do
  [ -x "$binaries/$program" ] || die "$binaries/$program is not there: build it, or leave out --binaries"
  install -m 0755 "$binaries/$program" "$stage/bin/$program"
  [ "$os" = macos ] || strip --strip-unneeded "$stage/bin/$program"
done

# 2. MLX. On a Mac it is in the program, but for its kernels, which it looks for beside itself. On Linux it is a library, with a BLAS.
if [ "$os" = macos ]; then
  kernels=$(find target/dist/release/build "$binaries" -name mlx.metallib 2>/dev/null | head -n 1)
  [ -n "$kernels" ] || die "there is no mlx.metallib among what was built: has mlx-sys changed?"
  install -m 0644 "$kernels" "$stage/bin/mlx.metallib"
else
  mlx=$(sed -n 's/^rustc-env = .*OUT_DIR = "\(.*\)".*/\1/p' target/mlx/cargo.toml)
  [ -d "$mlx/mlx/lib" ] || die "target/mlx/cargo.toml names no MLX that is there: run deploy/setup.sh"
  lib=$stage/lib/vertigo
  mkdir -p "$lib/mlx/lib" "$lib/mlx_cpu.libs"
  install -m 0755 "$mlx"/mlx/lib/*.so "$lib/mlx/lib/"
  install -m 0755 "$mlx"/mlx_cpu.libs/* "$lib/mlx_cpu.libs/"
  # What the BLAS of this machine needs beside what every Linux has.
  ldd "$mlx"/mlx_cpu.libs/libblas* | sed -n 's/.*=> \(\/.*lib\(openblas\|gfortran\|quadmath\)[^ ]*\) .*/\1/p' | sort -u |
    while read -r file; do install -m 0755 "$file" "$lib/mlx_cpu.libs/"; done
fi

# 3. What the programs say of themselves. The daemons come last: `vertigo worker` has a page of the name of the daemon's, which is the one to
# keep.
run() { LD_LIBRARY_PATH=${lib:+$lib/mlx/lib} "$stage/bin/$1" "${@:2}"; }
for program in "${programs[@]}"; do
  run "$program" man "$stage/share/man/man1" > /dev/null
  run "$program" completions bash > "$stage/share/bash-completion/completions/$program"
  run "$program" completions zsh > "$stage/share/zsh/site-functions/_$program"
  run "$program" completions fish > "$stage/share/fish/vendor_completions.d/$program.fish"
done
units=(cargo run -q --locked -p vertigo-daemon --example units)
"${units[@]}" -- "$stage/share/vertigo/units" "$prefix"

# 4. What is in it.
deploy/sbom.py "$stage/share/vertigo/$name.cdx.json" ${lib:+"$lib"}
cp LICENSE "$stage/share/doc/vertigo/LICENSE"
install -m 0755 deploy/install.sh "$stage/install.sh"

# 5. The tarball: of the same files the same bytes.
(cd "$stage" && find . -type f | LC_ALL=C sort | sed 's|^\./||' | while IFS= read -r file; do sums "$file"; done) > "$out/sums"
mv "$out/sums" "$stage/SHA256SUMS"
date=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
if tar --version | grep -q GNU; then
  tar -C "$out" --sort=name --mtime="@$date" --owner=0 --group=0 --numeric-owner -cf - "$name" | gzip -9n > "$out/$name.tar.gz"
else
  tar -C "$out" --uid 0 --gid 0 -cf - "$name" | gzip -9n > "$out/$name.tar.gz"
fi
cp "$stage/share/vertigo/$name.cdx.json" "$out/"
(cd "$out" && sums "$name.tar.gz" "$name.cdx.json" > SHA256SUMS)
say "$out/$name.tar.gz ($(du -h "$out/$name.tar.gz" | cut -f1)); install it with: sudo deploy/install.sh $out/$name.tar.gz"
