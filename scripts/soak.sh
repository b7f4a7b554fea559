#!/usr/bin/env bash
# Load for a while, with faults and reloads under it, and then a look at what is left. Four upstreams: one is killed and
# started again, one hangs, one follows a plan of faults, one stays healthy throughout. Reloads come by SIGHUP and by
# change of the file. Prints each event, then loadgen's report; exit code 0 if no client saw an error, the ledger
# balances, memory grew by less than 10 MB, no descriptor is left, and the proxy drains.
#   DURATION=60 (seconds; an hour is 3600) RATE=200 (requests in a second)
# The ledger keeps each request in memory and each journal on disk: some 0.5 kB a request.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
duration=${DURATION:-60} rate=${RATE:-200}
. scripts/pool.sh
whole DURATION "$duration" 20 604800
whole RATE "$rate" 1 5000

for _ in 1 2 3 4 5 6; do free_port; done
steady=${ports[0]} killed=${ports[1]} hung=${ports[2]} faulty=${ports[3]} admin=${ports[4]} port=${ports[5]}
journals=()
for p in "$steady" "$killed" "$hung" "$faulty"; do journals+=(--journal "$folder/journal-$p"); done

start() { start_mock "$1" --journal "$folder/journal-$1"; }
for p in "$steady" "$killed" "$hung"; do start "$p"; done
# Only what strikes before a tunnel is open: no proxy can move an open tunnel to another upstream.
cat >"$folder/plan.json" <<'JSON'
{
  "seed": 7,
  "faults": [
    { "fault": "accept-reset", "when": { "every": 11 } },
    { "fault": "accept-close", "when": { "every": 13 } },
    { "fault": "status-503", "when": { "probability": 0.1 } },
    { "fault": "status-407", "when": { "probability": 0.02 } },
    { "fault": "reply-reset", "when": { "probability": 0.05 } },
    { "fault": "cut-head", "when": { "probability": 0.05 } },
    { "fault": "garbage", "when": { "probability": 0.05 } },
    { "fault": "reply-late", "with": { "delay": "300ms", "jitter": "200ms" }, "when": { "probability": 0.1 } },
    { "fault": "latency", "with": { "delay": "20ms", "jitter": "20ms" } }
  ]
}
JSON
"$binaries/faulty-proxy" --port "$faulty" --admin-port "$admin" --plan "$folder/plan.json" \
  --journal "$folder/journal-$faulty" >"$folder/faulty.log" 2>&1 &
process[faulty]=$!
wait_for "the faulty upstream" port_open "$faulty"

# members KILLED HUNG: the pool with these weights of the two; 0 takes one out.
members() { pool "$steady=3" "$killed=$1" "$hung=$2" "$faulty=1"; }
members 2 2
start_proxy

began=$SECONDS
event() { printf '%5d s  %s\n' "$((SECONDS - began))" "$*"; }
epoch() { healthz | number config_epoch; }
newer() { [ "$(epoch)" -gt "$1" ]; }
by_file() {
  local before
  before=$(epoch)
  members "$@"
  wait_for "the changed file to be in force" newer "$before"
  event "reload by file: the two that will fail have weights $1 and $2"
}
by_signal() {
  local before
  before=$(epoch)
  kill -HUP "${process[proxy]}"
  wait_for "the reload by SIGHUP" newer "$before"
  event "reload by SIGHUP"
}
upstream() { curl -fsS --max-time 10 "http://127.0.0.1:$port/stats" | tr -d ' \n' |
  sed 's/.*"total":{//; s/"recent_15m".*//; s/"url"/\n"url"/g' | grep "^\"url\":\"http://127.0.0.1:$1\""; }
unused() { [ "$(upstream "$1" | number current_connections)" = 0 ]; }
ejected() { upstream "$1" | grep -q '"healthy":false'; }
healthy() { upstream "$1" | grep -q '"healthy":true'; }

"$binaries/loadgen" run --proxy "127.0.0.1:$port" --rate "$rate" --poisson --for "${duration}s" --quiet \
  --do '3*connect' --do '3*echo:rounds=3' --do '1*upload:bytes=200k' --do '1*download:bytes=200k' \
  --do '2*http:bytes=1000' --pid "${process[proxy]}" --warm-up 10s --verify-ledger "${journals[@]}" \
  --expect 'errors == 0' --expect 'memory_growth < 10000000' >"$folder/loadgen.log" 2>&1 &
process[loadgen]=$!
running() { alive "${process[loadgen]}"; }

# A round of faults takes some 5 s; none begins that the load would not outlast.
rounds=0
while [ $((SECONDS - began + 15)) -le "$duration" ] && running; do
  # An upstream is emptied first, since its open tunnels can't outlive it; then it fails while the proxy believes in it.
  by_file 0 2
  wait_for "the last tunnel through the one to be killed" unused "$killed"
  end "mock-$killed"
  event "upstream $killed is killed"
  by_file 2 2
  wait_for "its ejection" ejected "$killed"
  event "ejected"
  by_signal
  start "$killed"
  wait_for "its recovery" healthy "$killed"
  event "started again, and recovered"

  by_file 2 0
  wait_for "the last tunnel through the one to hang" unused "$hung"
  kill -STOP "${process[mock-$hung]}"
  event "upstream $hung hangs"
  by_file 2 2
  wait_for "its ejection" ejected "$hung"
  event "ejected"
  by_signal
  # Killed, as one would in earnest: let go on, it would journal what was asked of it and is long answered by others.
  end "mock-$hung"
  start "$hung"
  wait_for "its recovery" healthy "$hung"
  event "started again, and recovered"
  rounds=$((rounds + 1))
done

status=0
wait "${process[loadgen]}" || status=$?
unset 'process[loadgen]'
cat "$folder/loadgen.log"
rm "$folder/loadgen.log"
echo
claim "$rounds rounds of faults and reloads passed" [ "$rounds" -ge 1 ]
claim "loadgen's verdict" [ "$status" -eq 0 ]
nothing_left
claim "the planned faults struck" [ "$(grep -c '"outcome":"faulted"' "$folder/journal-$faulty")" -ge 1 ]
kill -TERM "${process[proxy]}"
wait_for "the proxy to drain" gone "${process[proxy]}"
status=0
wait "${process[proxy]}" || status=$?
unset 'process[proxy]'
claim "the proxy drained and ended with exit code 0" [ "$status" -eq 0 ]
