#!/usr/bin/env bash
# Writes as CycloneDX what the program is made of, build scripts and macros included, with versions, licences and checksums: FILE.
#
#   sbom.sh FILE
#
# TARGET              the triple, that of this machine unless told
# SOURCE_DATE_EPOCH   its date, that of the commit unless told
# Needs cargo-cyclonedx.
set -euo pipefail
file=$(realpath -m "$1")
cd "$(dirname "$0")/.."
target=${TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
# It takes no folder, writes beside the manifest, and appends the ending itself.
name=sbom-$$
trap 'rm -f "$name.json"' EXIT
cargo cyclonedx --quiet --all --format json --spec-version 1.5 --target "$target" --override-filename "$name"
mkdir -p "$(dirname "$file")"
# The folder where it was made is nobody's business, and would make each one another.
sed "s|$PWD|/source|g" "$name.json" > "$file"
