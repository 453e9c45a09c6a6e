#!/usr/bin/env bash
# Runs every target, or those that are named:
#
#   fuzz/run.sh [TARGET...]
#
# SECONDS_EACH (600) seconds each, JOBS (2) at a time, at the lowest priority. A stable compiler is enough. What is found lies in
# fuzz/artifacts/TARGET/, what was collected in fuzz/corpus/TARGET/, and what each run said in fuzz/logs/TARGET.log. A table at the end
# is for fuzz/README.md. Fails where a target found something, or did not run.
set -euo pipefail
cd "$(dirname "$0")/.."
each=${SECONDS_EACH:-600}
jobs=${JOBS:-2}
export CARGO_INCREMENTAL=0

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for file in fuzz/fuzz_targets/*.rs; do
    targets+=("$(basename "$file" .rs)")
  done
fi
nice -n 19 cargo fuzz build --sanitizer none >/dev/null
mkdir -p fuzz/logs

# Reports and lists are larger than what the other targets read: with 8 kB no archive of several members is made.
run() {
  local target=$1 most=8192
  case $target in domain_list | report_mail | tls_report) most=65536 ;; esac
  mkdir -p "fuzz/corpus/$target"
  nice -n 19 cargo fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    "-max_total_time=$each" "-max_len=$most" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 >"fuzz/logs/$target.log" 2>&1
}
export -f run
export each

status=0
printf '%s\n' "${targets[@]}" | xargs -P "$jobs" -I {} bash -c 'run {} || true'

echo "| target | runs | a second | edges at the start → end | features at the end | longest input | most memory, MB | findings |"
echo "|---|--:|--:|--:|--:|--:|--:|---|"
for target in "${targets[@]}"; do
  log=fuzz/logs/$target.log
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
  memory=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
  first=$(sed -n 's/.*INITED cov: \([0-9]*\).*/\1/p' "$log" | head -1)
  last=$(sed -n 's/^#.* cov: \([0-9]*\) ft: \([0-9]*\).*/\1 \2/p' "$log" | tail -1)
  length=$(find "fuzz/corpus/$target" -type f -printf '%s\n' | sort -n | tail -1)
  found=$(sed -n 's/.*Test unit written to .*\/\(.*\)$/\1/p' "$log" | paste -sd ' ')
  if [ -n "$found" ] || [ -z "$runs" ]; then
    status=1
  fi
  echo "| \`$target\` | ${runs:-did not run} | ${rate:-} | ${first:-} → ${last%% *} | ${last##* } | ${length:-} | ${memory:-} | ${found:-none} |"
done
exit $status
