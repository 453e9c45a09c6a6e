#!/usr/bin/env bash
# Lays out what the image holds: FOLDER/root becomes /, and what is in FOLDER/state comes to /var/lib and belongs to the user of the image.
#
#   layout.sh PROGRAM FOLDER
#
# SOURCE_DATE_EPOCH    the date of every file, so that the same program makes the same layers
set -euo pipefail
program=$1 folder=$2
here=$(dirname "$0")

install -D -m 0755 "$program" "$folder/root/usr/local/bin/smtptls-exporter"
# The demonstration and SQLite put files there; with a read-only root it is where a tmpfs goes.
install -d -m 1777 "$folder/root/tmp"
install -D -m 0644 -t "$folder/root/usr/share/doc/smtptls-exporter" "$here/../../LICENSE" "$here/../../NOTICE"
"$here/../third-party.sh" > "$folder/root/usr/share/doc/smtptls-exporter/THIRD-PARTY"
# Others of the group may read it, nobody else: what is kept of reports is nobody's business.
install -d -m 0755 "$folder/root/var/lib"
install -d -m 0750 "$folder/state/smtptls-exporter"
find "$folder" -exec touch --no-dereference --date "@${SOURCE_DATE_EPOCH:-0}" {} +
