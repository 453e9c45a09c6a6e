#!/usr/bin/env bash
# Packs what a release carries beside the program into one archive, and prints its path. The same files make the same bytes.
#
#   archive.sh PROGRAM [FOLDER]     FOLDER: where the archive goes, target/dist unless told
#
# TARGET              the triple that PROGRAM was built for, that of this machine unless told
# SBOM                a list of what is inside, for the archive; none unless told
# SOURCE_DATE_EPOCH   the date of every file, that of the commit unless told
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "$0")/.."
folder=${2:-$PWD/target/dist}
target=${TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
date=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
name=smtptls-exporter-$version-$target
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
root=$work/$name

install -D -m 0755 "$program" "$root/smtptls-exporter"
"$program" man --out "$root/man" >/dev/null
mkdir "$root/completions"
for shell in bash zsh fish; do
  "$program" completions "$shell" > "$root/completions/smtptls-exporter.$shell"
done
install -m 0644 LICENSE NOTICE README.md CHANGELOG.md smtptls-exporter.example.yml "$root"
TARGET=$target packaging/third-party.sh > "$root/THIRD-PARTY"
if [ -n "${SBOM:-}" ]; then
  install -m 0644 "$SBOM" "$root/sbom.cdx.json"
fi
cp -r deploy/systemd alerts dashboards "$root"
rm -rf "$root/alerts/tests" "$root/alerts/sharded/tests.yml" "$root/alerts/sharded/make.py" "$root/systemd/check.py"
find "$root" -name __pycache__ -prune -exec rm -r {} +
chmod -R u=rwX,go=rX "$root"

mkdir -p "$folder"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$date" --format=ustar -C "$work" -cf "$work/archive.tar" "$name"
# -n: no name and no date in the head.
gzip -9n < "$work/archive.tar" > "$folder/$name.tar.gz"
echo "$folder/$name.tar.gz"
