#!/usr/bin/env bash
# Who is told what, by the example of Alertmanager.
set -euo pipefail
cd "$(dirname "$0")/.."
goes() {
  local to=$1
  shift
  amtool config routes test --config.file=alertmanager.example.yml --verify.receivers="$to" "$@" >/dev/null ||
    { echo "not to $to: $*" >&2; exit 1; }
}
goes pager alertname=SMTPTLSMXDown severity=critical scope=mx mx=mx1.example.com
goes pager alertname=SMTPTLSDomainBlocked severity=critical scope=domain domain=example.com
goes tickets alertname=SMTPTLSMXDown severity=warning scope=mx mx=mx1.example.com
goes tickets alertname=SMTPTLSExporterDown severity=warning scope=exporter instance=m:10461
goes nobody alertname=SMTPTLSReportsMissing severity=info scope=domain domain=example.com
goes nobody alertname=SMTPTLSStateDamaged severity=info scope=exporter instance=m:10461
