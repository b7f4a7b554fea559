#!/usr/bin/env bash
# Runs the commands of "Ten minutes with your own pool" in simulator/README.md, in a folder of its own, beside a proxy that has just had a bad
# minute. Each must end with 0 and say what the page says it says, but for the figures.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

source_tree=$PWD
programs=${CARGO_TARGET_DIR:-$PWD/target}/debug
cargo=${CARGO:-cargo}
for package in proxy mock-upstreams loadgen simulator; do "$cargo" build --locked --quiet -p "$package"; done
export PATH=$programs:$PATH
scratch ten-minutes
cd "$work"
ports=()
for _ in 1 2 3; do free_port; done

cat >us.json <<END
{
  "server": { "listen_address": "127.0.0.1:${ports[0]}", "pid_file": "proxy.pid", "control_socket": "$work/proxy.sock" },
  "upstream_proxies": [
    { "url": "http://alice:geheim@127.0.0.1:${ports[1]}", "weight": 3 },
    { "url": "http://127.0.0.1:${ports[2]}", "weight": 1 }
  ],
  "health_check": { "backoff_base": "2s" },
  "flight_recorder": {}
}
END
echo '{ "health_check": { "failure_threshold": 1 } }' >candidate.json

mock() {
  mock-upstreams --no-pid-file "$1" >>mock.log 2>&1 &
  started+=($!)
  wait_for "the mock upstream" port_open "$1"
}
mock "${ports[1]}"
first=$!
mock "${ports[2]}"
proxy --config us.json >>proxy.log 2>&1 &
started+=($!)
wait_for "the proxy" port_open "${ports[0]}"
loadgen run --proxy "127.0.0.1:${ports[0]}" --do http --do echo --rate 20 --for 12s --quiet --no-probe >load.log 2>&1 &
load=$!
sleep 3
kill "$first"
sleep 4
mock "${ports[1]}"
wait "$load" || { cat load.log && exit 1; }

# What the page says, with figures written as N.
shape() { sed -E 's/[0-9]+(\.[0-9]+)?/N/g; s/u[0-9a-fN]{3,}/NAME/g; s/ (ms|s|µs)\b//g; s/(N|Nms|Ns) *(ms|s)\b/N/g; s/ +/ /g; s/ $//'; }
page=$(sed -n '/^## Ten minutes with your own pool$/,/^## /p' "$source_tree/simulator/README.md" | sed -n '/^```console$/,/^```$/p' | grep -v '^```')
command='' failed=0
expected=()
run() {
  [ -n "$command" ] || return 0
  local output line
  if ! output=$(bash -c "$command" 2>&1); then
    echo "FAIL  $command"
    sed 's/^/      /' <<<"$output"
    failed=1
    return 0
  fi
  output=$(shape <<<"$output")
  for line in "${expected[@]}"; do
    [ "$line" != … ] || continue
    line=$(shape <<<"$line")
    if ! grep -qxF -- "$line" <<<"$output"; then
      echo "FAIL  $command"
      echo "      no line like: $line"
      sed 's/^/      /' <<<"$output"
      failed=1
      return 0
    fi
  done
  echo "ok    $command"
}
while IFS= read -r line; do
  case $line in
    '$ '*)
      run
      command=${line#'$ '} expected=()
      ;;
    *) expected+=("$line") ;;
  esac
done <<<"$page"
run
if grep -rlE 'alice|geheim' incident.json first.json; then
  echo "FAIL  a secret or a name got into a scenario"
  failed=1
fi
[ "$failed" -eq 0 ]
