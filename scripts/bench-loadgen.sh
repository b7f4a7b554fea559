#!/usr/bin/env bash
# Is loadgen fast enough to load the fastest proxies? loadgen, wrk and ab take turns at haproxy: first it answers every
# request by itself, so that nothing but it and the load tool work; then loadgen alone at a haproxy that carries requests
# to the first one. Prints requests in a second, and the processor time that the tool and that haproxy took for each.
# Needs haproxy; wrk and ab (apache2-utils) take part where they are installed.
#   REQUESTS=100000 CLIENTS=50
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
requests=${REQUESTS:-100000} clients=${CLIENTS:-50}
. scripts/pool.sh
whole REQUESTS "$requests" 1000 100000000
whole CLIENTS "$clients" 2 5000
command -v haproxy >/dev/null || {
  echo "error: haproxy is not installed: apt-get install haproxy wrk apache2-utils" >&2
  exit 69
}

for _ in 1 2; do free_port; done
answers=127.0.0.1:${ports[0]} through=127.0.0.1:${ports[1]}
# start_haproxy NAME PORT LINE: one that does with requests what LINE says.
start_haproxy() {
  cat >"$folder/$1.cfg" <<CFG
global
  nbthread 2
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
listen $1
  bind 127.0.0.1:$2
  $3
CFG
  haproxy -db -f "$folder/$1.cfg" >"$folder/$1.log" 2>&1 &
  process[$1]=$!
  wait_for "haproxy" port_open "$2"
}
start_haproxy answers "${ports[0]}" 'http-request return status 200 content-type text/plain string "ok"'
start_haproxy through "${ports[1]}" "server answers $answers"

# Hundredths of a second that the haproxy of that name has spent.
spent() { awk '{ print $14 + $15 }' "/proc/${process[$1]}/stat"; }
printf '%-28s %12s %14s %14s\n' "" "requests/s" "tool µs each" "haproxy µs each"
# turn NAME HAPROXY PATTERN COMMAND…: PATTERN finds the number of requests that were answered in what COMMAND prints.
turn() {
  local name=$1 haproxy=$2 pattern=$3 before after answered
  shift 3
  before=$(spent "$haproxy")
  TIMEFORMAT='%R %U %S'
  { time "$@" >"$folder/out" 2>&1; } 2>"$folder/time" || true
  after=$(spent "$haproxy")
  answered=$(grep -oE "$pattern" "$folder/out" | grep -oE '[0-9]+' | head -n 1)
  awk -v name="$name" -v n="${answered:-0}" -v haproxy="$((after - before))" '
    n == 0 { print name ": no answer"; exit 1 }
    { printf "%-28s %12.0f %14.1f %14.1f\n", name, n / $1, ($2 + $3) * 1e6 / n, haproxy * 1e4 / n }' "$folder/time"
  grep -E '^THE LOAD GENERATOR' "$folder/out" || true
}
loadgen() {
  "$binaries/loadgen" run --proxy "$1" --no-probe --quiet --clients "$clients" --requests "$requests" --do "$2"
}
kept=http:target=a.example:80,keep-alive each=http:target=a.example:80
rounds() {
  turn "keep-alive, loadgen" answers '  ok [0-9]+' loadgen "$answers" "$kept"
  if command -v wrk >/dev/null; then
    turn "keep-alive, wrk" answers '[0-9]+ requests in' wrk -t2 -c"$clients" -d5 "http://$answers/"
  fi
  local ab=(ab -q -c"$clients" -n"$requests" -X "$answers")
  if command -v ab >/dev/null; then
    turn "keep-alive, ab" answers 'Complete requests: +[0-9]+' "${ab[@]}" -k http://a.example/
  fi
  turn "a connection each, loadgen" answers '  ok [0-9]+' loadgen "$answers" "$each"
  if command -v ab >/dev/null; then
    turn "a connection each, ab" answers 'Complete requests: +[0-9]+' "${ab[@]}" http://a.example/
  fi
  turn "through, keep-alive" through '  ok [0-9]+' loadgen "$through" "$kept"
  turn "through, a connection each" through '  ok [0-9]+' loadgen "$through" "$each"
}
rounds
rounds
