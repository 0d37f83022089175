#!/usr/bin/env bash
# CycloneDX SBOMs of the three programs, for this platform, into a folder: sbom.sh DIR. cargo-cyclonedx writes beside each Cargo.toml, so it
# works on a copy of what git knows.
set -euo pipefail
version=0.5.9
to=$(cd "${1:?sbom.sh DIR}" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tool=$PWD/target/tools/bin/cargo-cyclonedx
if [ ! -x "$tool" ]; then
  printf 'sbom: building cargo-cyclonedx %s (some minutes, once)\n' "$version" >&2
  cargo install -q cargo-cyclonedx --version "=$version" --locked --root target/tools
fi
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | xargs -0 tar -cf - | tar -xf - -C "$copy"
host=$(rustc -vV | sed -n 's/^host: //p')
# The serial number and the time would make of the same sources another file each time.
date=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
(cd "$copy" && SOURCE_DATE_EPOCH=$date "$tool" cyclonedx -q --format json --spec-version 1.5 --target "$host")
for crate in cli coordinator worker; do
  file=$copy/$crate/vertigo-$crate.cdx.json
  [ -s "$file" ] || { printf 'sbom: error: cargo-cyclonedx wrote no %s\n' "$file" >&2; exit 1; }
  sed "s|$copy|.|g" "$file" > "$to/vertigo-$crate.cdx.json"
done
