#!/usr/bin/env bash
# Makes the Debian package of a built program, and prints its path.
#
#     packaging/debian/build.sh PROGRAM [FOLDER]
#
# PROGRAM is what packaging/static.sh printed; FOLDER is where the package goes, target/debian unless told.
#
# TARGET       the triple that PROGRAM was built for, that of this machine unless told; the program writes its own manual, so it has to run here
# DEB_VERSION  the version of the package, that of Cargo.toml with revision 1 unless told
#
# Needs cargo-deb (cargo install --locked cargo-deb).
set -euo pipefail
if [ $# -lt 1 ] || [ ! -x "$1" ]; then
  echo "packaging/debian/build.sh: PROGRAM has to be the built program" >&2
  exit 2
fi
program=$(realpath "$1")
root=$(realpath "$(dirname "$0")/../..")
folder=$(realpath -m "${2:-$root/target/debian}")
cd "$root"
# Where the files that are made lie for cargo-deb: Cargo.toml names this folder.
stage=target/debian-files
target=${TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
# The same files make the same package, whenever it is made.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

rm -rf "$stage"
mkdir -p "$stage" "$folder"
install -m 0755 "$program" "$stage/smtptls-exporter"
"$program" man --out "$stage/man" >&2
for shell in bash zsh fish; do
  "$program" completions "$shell" > "$stage/completions.$shell"
done
TARGET=$target packaging/third-party.sh | gzip -9n > "$stage/THIRD-PARTY.gz"

cargo deb --quiet --locked --no-build --no-strip --target "$target" --output "$folder" ${DEB_VERSION:+--deb-version "$DEB_VERSION"} >&2
version=${DEB_VERSION:-$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)-1}
found=("$folder/smtptls-exporter_${version}_"*.deb)
if [ ! -f "${found[0]}" ]; then
  echo "packaging/debian/build.sh: cargo-deb left no package of version $version in $folder" >&2
  exit 1
fi
echo "${found[0]}"
