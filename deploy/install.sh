#!/bin/sh
# Installs a tarball of Vertigo: install.sh TARBALL. It is compared with SHA256SUMS beside it (or SUMS=FILE), its files with the sums inside,
# and nothing is touched unless all of them hold. PREFIX says where to [/usr/local]. Safe to run again.
set -eu
# What is installed is there for everybody to use, a daemon's account among them, and for nobody else to write to.
umask 022
say() { printf 'install: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

[ $# -eq 1 ] || die "which tarball? install.sh vertigo-VERSION-PLATFORM.tar.gz"
tarball=$1
prefix=${PREFIX:-/usr/local}
sums=${SUMS:-$(dirname -- "$tarball")/SHA256SUMS}
file=$(basename -- "$tarball")
case "$prefix" in
/*) ;;
*) die "PREFIX=$prefix: write the whole path, from / on" ;;
esac
[ -f "$tarball" ] || die "$tarball is not there"
[ -f "$sums" ] || die "$sums is not there: fetch SHA256SUMS from where the tarball is, or name it with SUMS=FILE"
if command -v sha256sum >/dev/null; then
  sum() { sha256sum -- "$@"; }
  check() { sha256sum --check --strict --quiet "$1"; }
else
  command -v shasum >/dev/null || die "there is neither sha256sum nor shasum here, and nothing is installed unchecked: install coreutils"
  sum() { shasum -a 256 -- "$@"; }
  check() { shasum -a 256 --check --strict --quiet "$1"; }
fi

# 1. The tarball is the one that was published.
expected=$(awk -v file="$file" '$2 == file || $2 == "*" file { print $1 }' "$sums")
[ -n "$expected" ] || die "$sums says nothing of $file: they are not of one release"
actual=$(sum "$tarball" | awk '{ print $1 }')
[ "$expected" = "$actual" ] || die "$file is damaged or was tampered with: its SHA-256 is $actual, and $sums says $expected. Fetch it anew"

# 2. It holds files and folders below one folder, and nothing that leads out of it.
name=${file%.tar.gz}
listing=$(tar -tzf "$tarball") || die "$file cannot be read"
outside=$(printf '%s\n' "$listing" | awk -v top="$name/" 'index($0, top) != 1 || $0 ~ /(^|\/)\.\.(\/|$)/' | head -n 1)
[ -z "$outside" ] || die "$file holds $outside, which lies outside of $name: it is no tarball of Vertigo"
strange=$(tar -tvzf "$tarball" | awk '$1 !~ /^[-d]/' | head -n 1)
[ -z "$strange" ] || die "$file holds what is neither a file nor a folder: $strange"

# 3. Each file is what the sums inside say, and none is there that they do not name.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
tar -xzf "$tarball" -C "$work"
cd "$work/$name"
[ -f SHA256SUMS ] || die "$file holds no SHA256SUMS"
check SHA256SUMS >&2 || die "a file in $file is not what its SHA256SUMS say: fetch it anew"
find . -type f ! -path ./SHA256SUMS | sed 's|^\./||' | LC_ALL=C sort > "$work/there"
sed 's/^[0-9a-f]*  *\*\{0,1\}//' SHA256SUMS | LC_ALL=C sort > "$work/named"
diff "$work/there" "$work/named" >&2 || die "what $file holds and what its SHA256SUMS name are not the same"

# 4. Into the prefix: first all of it beside what is there, so that a full disk leaves the version before as it was; then each file appears
# whole, beside a program that runs from the one before.
mkdir -p "$prefix" 2>/dev/null || true
[ -w "$prefix" ] || die "$prefix cannot be written: run the same with sudo, or name another place with PREFIX"
grep -E '^(bin|lib|share)/' "$work/named" > "$work/wanted" || die "$file holds nothing to install"
each() { while IFS= read -r path; do "$1" "$path" "$prefix/$path"; done < "$work/wanted"; }
lay() {
  mkdir -p "$(dirname "$2")"
  mode=0644
  [ ! -x "$1" ] || mode=0755
  cp "$1" "$2.new.$$"
  chmod "$mode" "$2.new.$$"
}
turn() { mv -f "$2.new.$$" "$2"; }
forget() { rm -f "$2.new.$$"; }
trap 'each forget; rm -rf "$work"' EXIT
each lay
each turn
say "$name is in $prefix"
case ":$PATH:" in
*":$prefix/bin:"*) ;;
*) say "put $prefix/bin into your PATH" ;;
esac
say "what runs of an older version goes on until it is started anew: vertigo-coordinator install and vertigo-worker install do so"
