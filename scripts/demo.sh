#!/usr/bin/env bash
# The main job in one sitting, on real sockets and without the internet: shares by weight, failover inside the
# request, recovery, drain. Every claim is checked; the first one that does not hold ends the demo with an error.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

binaries=$PWD/bin
export DEMO_PASSWORD="demo-$RANDOM$RANDOM"
folder=$(mktemp -d "${TMPDIR:-/tmp}/netdrift-demo.XXXXXX")
proxy_pid=
declare -A mock_pid=()
ports=()

finish() {
  local status=$? pid
  trap - EXIT
  for pid in $proxy_pid "${mock_pid[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  if [ "$status" -ne 0 ] && [ -s "$folder/proxy.log" ]; then
    echo "--- the proxy's last words:" >&2
    tail -n 20 "$folder/proxy.log" >&2
  fi
  rm -rf "$folder"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

bold='' green='' red='' plain=''
if [ -t 1 ]; then bold=$'\033[1m' green=$'\033[32m' red=$'\033[31m' plain=$'\033[0m'; fi
step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
say() { printf '  %s\n' "$*"; }
# claim TEXT TEST…: prints TEXT with a tick, or ends the demo.
claim() {
  local text=$1
  shift
  if "$@"; then printf '  %s✓%s %s\n' "$green" "$plain" "$text"; else
    printf '  %s✗ does not hold: %s%s\n' "$red" "$text" "$plain" >&2
    exit 1
  fi
}

start_mock() {
  (cd "$folder" && exec "$binaries/test-proxy" "$1") >>"$folder/mock-$1.log" 2>&1 &
  mock_pid[$1]=$!
  wait_for "the mock upstream on port $1" port_open "$1"
}

stats() { curl -fsS --max-time 10 "http://127.0.0.1:$port/stats"; }
total() { stats | tr -d ' \n' | sed 's/.*"total":{//' | number "$1"; }
# What an upstream itself has counted; 0 if it is down.
served() { { curl -fsS --max-time 10 "http://127.0.0.1:$1/status" 2>/dev/null || true; } | number requests || echo 0; }
# healthy PORT: what the proxy thinks of that upstream, in its totals.
healthy() {
  stats | tr -d ' \n' | sed 's/.*"total":{//; s/"url"/\n"url"/g' | grep "^\"url\":\"http://127.0.0.1:$1" | head -n 1 |
    grep -q '"healthy":true'
}
ejected() { ! healthy "$1"; }

# ask N: one request with credentials, by turns as plain HTTP and through a CONNECT tunnel; prints the HTTP status.
ask() {
  local tunnel=()
  if [ $(($1 % 2)) -eq 0 ]; then tunnel=(--proxytunnel); fi
  curl -sS -o /dev/null -w '%{http_code}\n' --max-time 60 "${tunnel[@]}" \
    -x "http://demo:$DEMO_PASSWORD@127.0.0.1:$port" http://http.mock/ip || echo failed
}

# send COUNT: that many requests, one after the other; every one must succeed.
send() {
  local n answers
  answers=$(for ((n = 1; n <= $1; n++)); do ask "$n"; done)
  claim "$1 requests sent, half of them through CONNECT: all answered 200" \
    [ "$(grep -c '^200$' <<<"$answers")" -eq "$1" ]
}

mark() { for p in "${mocks[@]}"; do before[$p]=$(served "$p"); done; }
since_mark() { echo $(($(served "$1") - before[$1])); }
# row NAME WEIGHT COUNT TOTAL: one line of the table of shares.
row() {
  awk -v n="$1" -v w="$2" -v c="$3" -v t="$4" 'BEGIN {
    share = 100 * c / t; bar = sprintf("%*s", int(share / 2 + 0.5), ""); gsub(/ /, "#", bar)
    printf "  upstream %s  weight %d  %3d requests  %3.0f %%  %s\n", n, w, c, share, bar }'
}

step "Start: three mock upstreams with weights 3, 2 and 1, and the proxy"
for _ in 1 2 3 4; do free_port; done
mocks=("${ports[@]:0:3}")
port=${ports[3]}
a=${mocks[0]} b=${mocks[1]} c=${mocks[2]}
declare -A before=()
for p in "${mocks[@]}"; do start_mock "$p"; done
cat >"$folder/demo.json" <<JSON
{
  "server": { "name": "demo", "listen_address": "127.0.0.1:$port", "pid_file": "$folder/proxy.pid" },
  "authentication": {
    "enabled": true,
    "users": [{ "username": "demo", "password": "\${env:DEMO_PASSWORD}" }]
  },
  "upstream_proxies": [
    { "url": "http://127.0.0.1:$a", "weight": 3, "tag": "A" },
    { "url": "http://127.0.0.1:$b", "weight": 2, "tag": "B" },
    { "url": "http://127.0.0.1:$c", "weight": 1, "tag": "C" }
  ],
  "health_check": { "backoff_base": "3s", "backoff_max": "3s" }
}
JSON
"$binaries/proxy" --config "$folder/demo.json" >"$folder/proxy.log" 2>&1 &
proxy_pid=$!
ready() { curl -fsS --max-time 5 "http://127.0.0.1:$port/readyz"; }
ready_or_dead() { gone "$proxy_pid" || ready; }
wait_for "the proxy to be ready" ready_or_dead
say "upstreams A, B, C on ports $a, $b, $c; proxy on port $port"
claim "the proxy is ready" eval 'ready >/dev/null 2>&1'
claim "the PID file names the proxy" [ "$(cat "$folder/proxy.pid")" = "$proxy_pid" ]

step "Credentials"
status=$(curl -sS -o /dev/null -w '%{http_code}' --max-time 10 -x "http://127.0.0.1:$port" http://http.mock/ip)
claim "without credentials: 407" [ "$status" = 407 ]
status=$(curl -sS -o /dev/null -w '%{http_code}' --max-time 10 -x "http://demo:wrong@127.0.0.1:$port" http://http.mock/ip)
claim "with a wrong password: 407" [ "$status" = 407 ]
status=$(ask 1)
claim "with the right one: 200" [ "$status" = 200 ]
claim "refused ones count as no request" [ "$(total total_requests)" -eq 1 ]

step "Shares by weight"
mark
send 60
counts=("$(since_mark "$a")" "$(since_mark "$b")" "$(since_mark "$c")")
row A 3 "${counts[0]}" 60
row B 2 "${counts[1]}" 60
row C 1 "${counts[2]}" 60
claim "exactly 50, 33 and 17 % by the upstreams' own counts (30, 20, 10)" [ "${counts[*]}" = "30 20 10" ]
claim "the proxy's statistics agree: 61 requests, none failed" \
  [ "$(total total_requests) $(total success_requests) $(total failed_requests)" = "61 61 0" ]

step "Upstream B is killed in mid-run"
# Between rounds, since a tunnel that is open through an upstream can't outlive it. Connections kept to B can be, and
# break.
: >"$folder/answers"
for round in {1..30}; do
  clients=()
  for client in 1 2 3 4; do
    ask "$((round + client))" >>"$folder/answers" &
    clients+=("$!")
  done
  wait "${clients[@]}"
  if [ "$round" -eq 5 ]; then
    kill -KILL "${mock_pid[$b]}"
    wait "${mock_pid[$b]}" 2>/dev/null || true
  fi
done
claim "120 requests from 4 clients at once, B killed after the first 20: zero failed" \
  [ "$(grep -c '^200$' "$folder/answers") $(wc -l <"$folder/answers")" = "120 120" ]
claim "the proxy's statistics agree: none failed" [ "$(total failed_requests)" -eq 0 ]
claim "B is ejected" ejected "$b"
mark
send 40
counts=("$(since_mark "$a")" "$(since_mark "$c")")
row A 3 "${counts[0]}" 40
row C 1 "${counts[1]}" 40
# A request lent to B as a probe is answered by A or C outside of their turn; no more than two fit into this step.
claim "its share went to the others by their weights, 75 and 25 % (give or take a probe)" \
  [ $((counts[0] + counts[1])) -eq 40 -a "${counts[0]}" -ge 28 -a "${counts[0]}" -le 32 ]

step "Upstream B comes back"
start_mock "$b"
# Without check endpoints, a client's request is the probe: so there must be some.
recovered() { ask 1 >>"$folder/answers" && healthy "$b"; }
wait_for "B to recover" recovered
claim "B is healthy again" healthy "$b"
claim "and no request failed while it was probed" [ "$(grep -vc '^200$' "$folder/answers")" -eq 0 ]
mark
send 60
counts=("$(since_mark "$a")" "$(since_mark "$b")" "$(since_mark "$c")")
row A 3 "${counts[0]}" 60
row B 2 "${counts[1]}" 60
row C 1 "${counts[2]}" 60
claim "exactly 50, 33 and 17 % again" [ "${counts[*]}" = "30 20 10" ]

step "Drain: SIGTERM while a tunnel is open"
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'CONNECT echo.mock:80 HTTP/1.1\r\nHost: echo.mock:80\r\nProxy-Authorization: Basic %s\r\n\r\n' \
  "$(printf 'demo:%s' "$DEMO_PASSWORD" | base64)" >&3
read -r -t 10 reply <&3
claim "a tunnel to echo.mock is open" grep -q '^HTTP/1.1 200' <<<"$reply"
while read -r -t 10 line <&3 && [ "$line" != $'\r' ]; do :; done
kill -TERM "$proxy_pid"
wait_for "the proxy to stop accepting" port_closed "$port"
claim "no new client is accepted" port_closed "$port"
echo "still here" >&3
read -r -t 10 line <&3 || line=
claim "the open tunnel still carries bytes both ways" [ "$line" = "still here" ]
exec 3<&- 3>&-
wait_for "the proxy to end" gone "$proxy_pid"
status=0
wait "$proxy_pid" || status=$?
claim "the tunnel closed, and the proxy ended with exit code 0" [ "$status" -eq 0 ]
proxy_pid=
claim "its PID file is gone" [ ! -e "$folder/proxy.pid" ]
claim "the password is in none of its logs" eval '! grep -q "$DEMO_PASSWORD" "$folder/proxy.log"'

step "Clean up"
for p in "${mocks[@]}"; do
  kill -TERM "${mock_pid[$p]}"
  wait_for "the mock upstream on port $p to end" gone "${mock_pid[$p]}"
  wait "${mock_pid[$p]}" 2>/dev/null || true
  unset "mock_pid[$p]"
done
rm -rf "$folder"
claim "no process and no file is left" [ -z "$(jobs -pr)" -a ! -e "$folder" ]
printf '\nEvery claim held.\n'
