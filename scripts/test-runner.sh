#!/usr/bin/env bash
# Runs the proxy and two test proxies the way `make run-proxy` and `make run-test-proxies` do, checks that they work
# together, and stops them. Processes are found by their PID files alone.
#
#   scripts/test-runner.sh            build, start, check, stop
#   scripts/test-runner.sh check      check what already runs
#   scripts/test-runner.sh status     tell what runs
#   scripts/test-runner.sh cleanup    stop what a run left behind
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

port=3130
test_ports=(3025 3026)
credentials=proxyuser:Proxy234
pid_files=(proxy.pid test-proxy-3025.pid test-proxy-3026.pid)

# pid_in FILE: the process that it names, if that process runs and is one of ours.
pid_in() {
  local pid
  [ -f "$1" ] && [ ! -L "$1" ] && read -r pid <"$1" && [[ $pid =~ ^[0-9]+$ ]] && alive "$pid" || return 1
  case "$(program "$pid")" in
  *proxy | *mock-upstreams) echo "$pid" ;;
  *) return 1 ;;
  esac
}

status() {
  local file pid
  for file in "${pid_files[@]}"; do
    if pid=$(pid_in "$file"); then
      echo "$file: running (process $pid)"
    elif [ -e "$file" ]; then
      echo "$file: stale, nothing runs"
    else
      echo "$file: not running"
    fi
  done
}

cleanup() {
  local file pid
  for file in "${pid_files[@]}"; do
    if pid=$(pid_in "$file"); then
      kill -TERM "$pid"
      # Longer than the drain time-out would be; nothing here holds a tunnel open.
      wait_for "process $pid of $file to end" gone "$pid" || kill -KILL "$pid"
    fi
    rm -f "$file"
  done
}

failures=0
# expect WHAT WANTED GOT
expect() {
  if [ "$2" = "$3" ]; then echo "ok    $1"; else
    echo "FAIL  $1: expected $2, got $3"
    failures=$((failures + 1))
  fi
}

# code CURL-ARGUMENTS…: the HTTP status of the reply, or that to CONNECT where it was refused; 000 for no reply.
code() {
  local codes
  codes=$(curl -s -o /dev/null -w '%{http_code} %{http_connect}' --max-time 30 "$@") || true
  case "$codes" in "000 "[1-9]*) echo "${codes#000 }" ;; *) echo "${codes%% *}" ;; esac
}

check() {
  local proxy="http://$credentials@127.0.0.1:$port" n answers before after test_port
  expect "the proxy lives" 200 "$(code "http://127.0.0.1:$port/healthz")"
  expect "the proxy is ready" 200 "$(code "http://127.0.0.1:$port/readyz")"
  for test_port in "${test_ports[@]}"; do
    expect "test proxy $test_port tells its status" 200 "$(code "http://127.0.0.1:$test_port/status")"
  done
  expect "plain HTTP through an upstream" 200 "$(code -x "$proxy" http://http.mock/ip)"
  expect "CONNECT through an upstream" 200 "$(code -p -x "$proxy" http://http.mock/ip)"
  expect "plain HTTP without credentials" 407 "$(code -x "http://127.0.0.1:$port" http://http.mock/ip)"
  expect "CONNECT without credentials" 407 "$(code -p -x "http://127.0.0.1:$port" http://http.mock/ip)"
  expect "a wrong password" 407 "$(code -x "http://proxyuser:wrong@127.0.0.1:$port" http://http.mock/ip)"
  expect "a client can't reach the proxy through itself" 403 "$(code -x "$proxy" "http://127.0.0.1:$port/stats")"

  before=$(curl -fsS --max-time 10 "http://127.0.0.1:$port/stats" | number total_requests || echo 0)
  answers=$(for n in {1..12}; do code -x "$proxy" http://http.mock/ip; done)
  after=$(curl -fsS --max-time 10 "http://127.0.0.1:$port/stats" | number total_requests || echo 0)
  expect "of 12 requests, answered" 12 "$(grep -c '^200$' <<<"$answers" || true)"
  expect "and counted in the statistics" 12 "$((after - before))"
  [ "$failures" -eq 0 ]
}

# hand_over FOLDER: the proxy is upgraded: another process takes over from the running proxy while clients come one after another.
hand_over() {
  local old said loads=() n
  old=$(pid_in proxy.pid)
  for n in 1 2 3 4; do
    (while [ ! -e "$1/over" ]; do code -x "http://$credentials@127.0.0.1:$port" http://http.mock/ip; done) >"$1/codes-$n" &
    loads+=($!)
  done
  said=$(bin/proxy upgrade --config configs/us.json) || failures=$((failures + 1))
  wait_for "the proxy that was taken over from to end" gone "$old" || failures=$((failures + 1))
  touch "$1/over"
  wait "${loads[@]}"
  expect "what the upgrade says, and whom the PID file names" "process $(pid_in proxy.pid) has taken over" "$said"
  expect "answers to clients that came during it" 200 "$(sort -u "$1"/codes-* | xargs)"
  [ "$failures" -eq 0 ]
}

run() {
  local logs status=0 file test_port
  for file in "${pid_files[@]}"; do
    if pid_in "$file" >/dev/null; then
      echo "error: $file names a running process; stop it, or run: scripts/test-runner.sh cleanup" >&2
      return 1
    fi
  done
  for test_port in "$port" "${test_ports[@]}"; do
    if port_open "$test_port"; then
      echo "error: port $test_port is taken by another program" >&2
      return 1
    fi
  done
  "${MAKE:-make}" --no-print-directory build build-test
  logs=$(mktemp -d "${TMPDIR:-/tmp}/netdrift-test.XXXXXX")
  # shellcheck disable=SC2064  # the folder's name of now is meant
  trap "cleanup; rm -rf '$logs'" EXIT
  bin/test-proxy "${test_ports[@]}" >"$logs/test-proxies.log" 2>&1 &
  for test_port in "${test_ports[@]}"; do wait_for "test proxy $test_port" port_open "$test_port"; done
  bin/proxy --config configs/us.json >"$logs/proxy.log" 2>&1 &
  wait_for "the proxy" curl -fsS --max-time 5 "http://127.0.0.1:$port/readyz" || status=1
  if [ "$status" -eq 0 ]; then check && hand_over "$logs" || status=1; fi
  if [ "$status" -ne 0 ]; then tail -n 30 "$logs"/*.log >&2; fi
  return "$status"
}

case "${1:-run}" in
run) run ;;
check) check ;;
status) status ;;
cleanup) cleanup ;;
*)
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 64
  ;;
esac
