#!/usr/bin/env bash
# Builds the one optimised program that images, packages and archives carry, and prints its path.
#
# It is static: no interpreter and no library is looked for, so that an image needs nothing beside it and one file runs on every
# Linux of its architecture. The C library is glibc, for which everything in it is built and tried most. The allocator is jemalloc,
# which needs make.
#
# It is the same bytes from every folder: neither the checkout nor cargo's own folders show in it. docs/verify.md tells the rest.
#
# TARGET                          the triple, that of this machine unless told
# CARGO_PROFILE_RELEASE_LTO, CARGO_PROFILE_RELEASE_CODEGEN_UNITS
#                                 cargo's own: a check needs no whole optimisation
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD

target=${TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
case $target in
  *-linux-gnu) ;;
  *)
    echo "packaging/static.sh: $target: only targets of Linux with glibc are built static here" >&2
    exit 2
    ;;
esac
registry=${CARGO_HOME:-$HOME/.cargo}
target_dir=${CARGO_TARGET_DIR:-$here/target}

# With --target these flags hold for the program alone, not for build scripts and macros, which have to be dynamic.
export RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$registry=/cargo --remap-path-prefix=$target_dir=/target --remap-path-prefix=$here=/source${RUSTFLAGS:+ $RUSTFLAGS}"
# SQLite, zstd and AWS-LC are C: their file names come from __FILE__.
prefixes="-ffile-prefix-map=$registry=/cargo -ffile-prefix-map=$target_dir=/target -ffile-prefix-map=$here=/source"
export CFLAGS="$prefixes${CFLAGS:+ $CFLAGS}" CXXFLAGS="$prefixes${CXXFLAGS:+ $CXXFLAGS}"
# Kernels for ARM have pages of 4, 16 or 64 KiB. What is built for large ones runs with small ones, not the other way round.
case $target in
  aarch64-*) export JEMALLOC_SYS_WITH_LG_PAGE=16 ;;
esac
# Where a build asks what time it is, it is the time of the commit.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

# Names are looked up by /etc/hosts and by the DNS, whatever else the machine has.
modules=$target_dir/$target/no-modules.o
mkdir -p "$(dirname "$modules")"
${CC:-cc} -O2 -c -o "$modules" packaging/no-modules.c

cargo rustc --locked --release --bin smtptls-exporter --target "$target" -- \
  -C link-arg=-Wl,--wrap=__libc_dlopen_mode -C "link-arg=$modules" >&2
program=$target_dir/$target/release/smtptls-exporter

# What was asked for is what came out: no interpreter, no library, no module.
if readelf --wide --program-headers --dynamic "$program" | grep -E 'INTERP|\(NEEDED\)' >&2; then
  echo "packaging/static.sh: $program is not static" >&2
  exit 1
fi
if [ -z "$(nm "$program" | sed -n '/ __wrap___libc_dlopen_mode$/p')" ]; then
  echo "packaging/static.sh: $program could load modules of another C library" >&2
  exit 1
fi
# And nothing of where it was built.
for folder in "$here" "$registry" "$target_dir"; do
  if grep --text --fixed-strings --quiet "$folder/" "$program"; then
    echo "packaging/static.sh: $program names $folder" >&2
    exit 1
  fi
done
echo "$program"
