#!/usr/bin/env bash
# Every fault against the proxy: the faulty upstream's own tests, the matrix test, then the real binaries with curl.
#
#   scripts/test-faultyproxy.sh all           everything
#   scripts/test-faultyproxy.sh binaries      the real binaries alone
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

cargo=${CARGO:-cargo}
binaries=${CARGO_TARGET_DIR:-target}/debug
folder=$(mktemp -d "${TMPDIR:-/tmp}/netdrift-faulty.XXXXXX")
pids=()

finish() {
  local status=$? pid
  trap - EXIT
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  if [ "$status" -ne 0 ]; then tail -n 20 "$folder"/*.log >&2 2>/dev/null || true; fi
  rm -rf "$folder"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

failures=0
# expect WHAT COMMAND…: COMMAND succeeds.
expect() {
  local what=$1
  shift
  if "$@"; then echo "ok    $what"; else
    echo "FAIL  $what"
    failures=$((failures + 1))
  fi
}

# upstream NAME: starts one; its addresses are in NAME.log.
upstream() {
  "$binaries/faulty-upstream" --name "$1" --port 0 --admin-port 0 --seed 1 >"$folder/$1.log" 2>&1 &
  pids+=($!)
  wait_for "$1" grep -q '^admin on ' "$folder/$1.log"
}

ctl() { "$binaries/faulty-upstream" ctl --admin "$admin" "$@"; }

# fetch CURL-ARGUMENTS…: a page through the proxy; the head of an endless one. 28: it hangs.
fetch() {
  local status
  curl -fsS --max-time 30 -x "http://$listen" "$@" http://http.mock/bytes/8192 2>/dev/null | head -c 100000
  status=${PIPESTATUS[0]}
  return "$status"
}

succeeds() { [ "$(fetch "$@" | cksum)" = "$page" ]; }

# Cut off behind its head, or answered with a status of the upstream's: whatever it is, it comes to an end.
ends() {
  local status=0
  fetch "$@" >/dev/null || status=$?
  [ "$status" -ne 28 ]
}

# try FAULT ASKED SEES: plays one row of the matrix.
try() {
  local fault=$1 asked=$2 sees=$3 how=() expected=ends
  [ "$asked" != CONNECT ] || how=(-p)
  # http.mock is the same through a tunnel, unless the bytes are not left alone.
  case $sees in "success, byte for byte"*) expected=succeeds ;; esac
  printf '{"seed": 1, "faults": [{"fault": "%s"}]}' "$fault" >"$folder/plan.json"
  ctl load "$folder/plan.json" >/dev/null
  expect "$fault ($asked): ${sees%%, *}" "$expected" "${how[@]}"
}

binaries() {
  local listen admin page faulty good fault asked sees ways way pid
  "$cargo" build --locked -p proxy
  "$cargo" build --locked -p faulty-upstream
  upstream faulty
  upstream good
  faulty=$(sed -n 's/^listening on \([^ ]*\) .*/\1/p' "$folder/faulty.log")
  good=$(sed -n 's/^listening on \([^ ]*\) .*/\1/p' "$folder/good.log")
  admin=$(sed -n 's/^admin on //p' "$folder/faulty.log")
  # The faulty one is asked first and never ejected, so that every fault is met.
  cat >"$folder/proxy.json" <<JSON
{
  "server": { "listen_address": "127.0.0.1:0", "pid_file": "", "control_socket": "" },
  "upstream_proxies": [{ "url": "http://$faulty", "weight": 10000 }, { "url": "http://$good", "weight": 1 }],
  "health_check": { "failure_threshold": 1000000 },
  "timeouts": { "connect": "1s", "reply": "1s", "idle_tunnel": "1s", "body": "1s" },
  "limits": { "pool_per_upstream": 0 }
}
JSON
  NO_COLOR=1 "$binaries/proxy" --config "$folder/proxy.json" >"$folder/proxy.log" 2>&1 &
  pids+=($!)
  wait_for "the proxy" grep -q 'listen=' "$folder/proxy.log"
  listen=$(sed -n 's/.*listen=\([0-9.:]*\).*/\1/p' "$folder/proxy.log" | head -n 1)
  page=$(fetch | cksum)
  expect "a page without a fault" [ "${page#* }" = 8192 ]

  while IFS='|' read -r _ fault asked sees _; do
    fault=${fault//[\` ]/} sees=${sees# }
    IFS=, read -ra ways <<<"$asked"
    for way in "${ways[@]}"; do try "$fault" "${way// /}" "${sees% }"; done
  done < <(grep '^| `' faulty-upstream/MATRIX.md)

  printf '{"faults": []}' >"$folder/plan.json"
  ctl load "$folder/plan.json" >/dev/null
  ctl add '{"fault": "status-502"}' >/dev/null
  expect "a fault that was added strikes" succeeds -p
  expect "and is counted" grep -q '"status-502": 1' <(ctl counters)
  ctl disarm status-502 >/dev/null
  expect "disarmed it does nothing" succeeds -p
  expect "and counts nothing" grep -q '"status-502": 1' <(ctl counters)
  expect "the journal names it" grep -q '"faults":\["status-502"\]' <(ctl journal)
  expect "a fault that does not exist is refused" grep -q 'no fault' <(ctl add '{"fault": "nonsense"}' 2>&1)
  expect "the admin port speaks HTTP" grep -q '"status-502"' <(curl -fsS --max-time 10 "http://$admin/plan")
  expect "the proxy serves nobody any more" wait_for "the end of all requests" idle
  for pid in "${pids[@]}"; do
    kill -TERM "$pid"
    expect "process $pid stops cleanly" wait "$pid"
  done
  [ "$failures" -eq 0 ]
}

idle() { [ "$(curl -fsS --max-time 10 "http://$listen/stats" | number current_requests)" = 0 ]; }

case "${1:-all}" in
all)
  "$cargo" test --locked -p faulty-upstream
  "$cargo" test --locked -p proxy --test matrix
  binaries
  ;;
binaries) binaries ;;
*)
  sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
  exit 64
  ;;
esac
