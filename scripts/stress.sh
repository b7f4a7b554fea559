#!/usr/bin/env bash
# The headline test on real sockets: 100,000 requests from 100 clients at once over weights 10, 20, 30 and 40.
# Prints loadgen's report; exit code 0 if shares are exact, nothing failed and the ledger balances.
#   REQUESTS=100000 CLIENTS=100
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
requests=${REQUESTS:-100000} clients=${CLIENTS:-100}
. scripts/pool.sh
whole REQUESTS "$requests" 10 10000000
whole CLIENTS "$clients" 1 5000

for _ in 1 2 3 4 5; do free_port; done
port=${ports[4]}
upstreams=() witnesses=()
for n in 0 1 2 3; do
  start_mock "${ports[n]}" --journal "$folder/journal-${ports[n]}"
  upstreams+=("${ports[n]}=$(((n + 1) * 10))")
  # Shares by the upstreams' own counts, requests by their journals.
  witnesses+=(--upstream "127.0.0.1:${ports[n]}=$(((n + 1) * 10))" --journal "$folder/journal-${ports[n]}")
done
pool "${upstreams[@]}"
start_proxy
bin/loadgen run --proxy "127.0.0.1:$port" --clients "$clients" --requests "$requests" --do 'echo:rounds=1' \
  --verify-weights --verify-ledger "${witnesses[@]}" --pid "${process[proxy]}" \
  --expect 'errors == 0' --expect "ok == $requests"
nothing_left
