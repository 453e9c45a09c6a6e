#!/usr/bin/env bash
# Prints the licences of everything that is inside the program: each package with its licence, then the texts that its source carries.
# Whoever hands on the program hands these on with it. Only what is linked counts: no build scripts, no macros, no tests.
#
# TARGET    the triple, that of this machine unless told
set -euo pipefail
cd "$(dirname "$0")/.."
target=${TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
sources=$(echo "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/)

packages=$(cargo tree --locked --target "$target" --edges normal,no-proc-macro --prefix none --no-dedupe --format '{p}|{l}' |
  sed -n 's/^\([^ |]*\) v\([^ |]*\)|\(.*\)$/\1 \2 \3/p' | LC_ALL=C sort -u)
echo "The program contains the GNU C library (LGPL-2.1-or-later) and these packages of crates.io."
echo
awk '{ name = $1; version = $2; $1 = $2 = ""; sub(/^ +/, ""); printf "%s %s: %s\n", name, version, $0 }' <<<"$packages"

# The same text is in many packages: it is printed once, below the names of all.
declare -A texts=() names=()
order=()
bare=
while read -r name version _; do
  # The folder of the registry is named after its address.
  folder=
  for source in $sources; do
    if [ -d "$source$name-$version" ]; then folder=$source$name-$version; fi
  done
  if [ -z "$folder" ]; then
    echo "packaging/third-party.sh: the source of $name $version is not in $sources" >&2
    exit 1
  fi
  # At the second level are the texts of what a package brings along, zstd and AWS-LC in C above all.
  found=$(find "$folder" -maxdepth 2 -type f \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'copyright*' -o -iname 'notice*' -o -iname 'unlicense*' -o -path '*/LICENSES/*' \) | LC_ALL=C sort)
  if [ -z "$found" ]; then
    bare+="  $name $version"$'\n'
  fi
  for text in $found; do
    sum=$(tr -d '\r' < "$text" | sha256sum)
    if [ -z "${texts[$sum]+set}" ]; then
      texts[$sum]=$text
      order+=("$sum")
    fi
    names[$sum]="${names[$sum]:+${names[$sum]}, }$name $version"
  done
done <<<"$packages"

if [ -n "$bare" ]; then
  printf '\nThe source of these carries no text, only the name of its licence above:\n%s' "$bare"
fi
for sum in "${order[@]}"; do
  echo
  echo "------------------------------------------------------------------------"
  fold -s -w 100 <<<"${names[$sum]}"
  echo
  tr -d '\r' < "${texts[$sum]}"
done
