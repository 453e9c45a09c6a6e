#!/usr/bin/env bash
# Builds the checked-out commit once more in another folder, with nothing in common but the compiler and the downloaded sources, and compares
# the program with the one that packaging/static.sh builds here.
#
# The settings of packaging/static.sh hold here too. docs/verify.md says what came out.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -n "$(git status --porcelain --untracked-files=no)" ]; then
  echo "packaging/reproduce.sh: what is checked out is not the commit" >&2
  exit 2
fi
here=$(packaging/static.sh)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
folder=$work/another/folder-with-a-longer-name
mkdir -p "$folder"
git archive HEAD | tar -x -C "$folder"
# There is no checkout there to ask.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
SMTPTLS_REVISION=$(git rev-parse --short=12 HEAD)
export SOURCE_DATE_EPOCH SMTPTLS_REVISION
there=$(CARGO_TARGET_DIR=$work/target "$folder/packaging/static.sh")

sha256sum "$here" "$there"
if ! cmp "$here" "$there"; then
  echo "packaging/reproduce.sh: the two programs differ" >&2
  exit 1
fi
