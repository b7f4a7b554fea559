#!/usr/bin/env bash
# Memory over a million requests: tunnels and plain HTTP by turns, after a warm-up. Prints loadgen's reports; exit code 0
# if the proxy's resident memory grew by less than 10 MB (10,000,000 bytes) and no descriptor is left.
#   REQUESTS=1000000 WARM_UP=20000 CLIENTS=50
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
requests=${REQUESTS:-1000000} warm_up=${WARM_UP:-20000} clients=${CLIENTS:-50}
. scripts/pool.sh
whole REQUESTS "$requests" 1000 100000000
whole WARM_UP "$warm_up" 1 10000000
whole CLIENTS "$clients" 1 5000

for _ in 1 2 3; do free_port; done
port=${ports[2]}
# Without journal files, which would grow with the requests.
start_mock "${ports[0]}"
start_mock "${ports[1]}"
pool "${ports[0]}=2" "${ports[1]}=1"
start_proxy
load() {
  bin/loadgen run --proxy "127.0.0.1:$port" --clients "$clients" --do '1*echo' --do '1*http:bytes=1000,keep-alive' \
    --pid "${process[proxy]}" --expect 'errors == 0' "$@"
}
echo "warm-up: $warm_up requests"
load --requests "$warm_up" --quiet
echo
echo "measured: $requests requests"
load --requests "$requests" --expect 'memory_growth < 10000000'
nothing_left
