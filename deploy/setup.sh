#!/usr/bin/env bash
# Installs or builds what is missing on this machine before cargo can build Vertigo, and says what it does. Safe to run again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

command -v cargo >/dev/null || die "cargo is missing: install Rust from https://rustup.rs"
if [ "$(uname -s)" != Darwin ]; then
  exec "$here/mlx-linux/setup.sh"
fi
# On macOS cargo builds MLX with Metal itself, and needs two tools for that.
xcrun -sdk macosx metal --version >/dev/null 2>&1 ||
  die "the Metal compiler is missing: install Xcode, then run: xcodebuild -downloadComponent MetalToolchain"
if ! command -v cmake >/dev/null; then
  command -v brew >/dev/null || die "cmake is missing: install it from https://cmake.org/download, or Homebrew from https://brew.sh"
  say "installing cmake with Homebrew"
  brew install --quiet cmake
fi
