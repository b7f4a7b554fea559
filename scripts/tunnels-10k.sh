#!/usr/bin/env bash
# 10,000 tunnels held open at once, all echoing, through one proxy: memory and descriptors for each, none left over.
# Where the hard descriptor limit is too low for them, as many as it allows. Prints how many, then loadgen's report.
#   TUNNELS=10000 HOLD=20 (seconds each one is held)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
wanted=${TUNNELS:-10000} hold=${HOLD:-20}
. scripts/pool.sh
whole TUNNELS "$wanted" 1 25000
whole HOLD "$hold" 2 3600

# The proxy needs two descriptors for a tunnel and keeps 320 for itself; 20 clients more may ask for its statistics.
limit=$(ulimit -Hn)
tunnels=$wanted
if [ "$limit" != unlimited ]; then
  ulimit -Sn "$limit"
  most=$(((limit - 320) / 2 - 20))
  if [ "$most" -lt "$tunnels" ]; then tunnels=$most; fi
fi
echo "hard limit of $limit descriptors in a process: $tunnels tunnels of $wanted wanted"

for _ in 1 2 3; do free_port; done
port=${ports[2]}
start_mock "${ports[0]}" --journal "$folder/journal-${ports[0]}"
start_mock "${ports[1]}" --journal "$folder/journal-${ports[1]}"
pool "${ports[0]}=1" "${ports[1]}=1"
start_proxy
bin/loadgen run --proxy "127.0.0.1:$port" --clients "$tunnels" --requests "$tunnels" --ramp-up 8s --timeout "$((hold + 60))s" \
  --do "hold:for=$((hold + 8))s,every=4s" --pid "${process[proxy]}" \
  --verify-ledger --journal "$folder/journal-${ports[0]}" --journal "$folder/journal-${ports[1]}" \
  --expect 'errors == 0' --expect "tunnels == $tunnels" --expect 'memory_per_tunnel < 4096'
nothing_left
