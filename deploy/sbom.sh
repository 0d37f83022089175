#!/usr/bin/env bash
# A CycloneDX SBOM of the three programs as one: sbom.sh FILE. cargo-cyclonedx makes one of each, beside its Cargo.toml; what they name is
# put together here, each once.
set -euo pipefail
to=$(realpath "$(dirname "$1")")/$(basename "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
