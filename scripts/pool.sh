# Shared by the named runs: a proxy and its upstreams in a temporary folder, all of it gone at the end, whatever
# happens. The caller has sourced lib.sh; its exit code is the run's verdict.
# shellcheck shell=bash

binaries=$PWD/bin
folder=$(mktemp -d "${TMPDIR:-/tmp}/netdrift-run.XXXXXX")
ports=()
# Processes by name, for the end and for the last words.
declare -A process=()

finish() {
  local status=$? name log
  trap - EXIT
  if [ "$status" -ne 0 ]; then
    for log in "$folder"/*.log; do
      [ -s "$log" ] || continue
      echo "--- the last words in ${log##*/}:" >&2
      tail -n 20 "$log" >&2
    done
  fi
  # The shell would tell of each one that it was killed.
  exec 2>/dev/null
  # SIGKILL reaches one that hangs as well.
  for name in "${!process[@]}"; do kill -KILL "${process[$name]}" || true; done
  wait || true
  rm -rf "$folder"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# claim TEXT TEST…: prints TEXT, or ends the run.
claim() {
  local text=$1
  shift
  if "$@"; then echo "  kept    $text"; else
    echo "  MISSED  $text"
    exit 1
  fi
}

# whole NAME VALUE LEAST MOST: a setting from the environment, or an end before anything starts.
whole() {
  if ! [[ $2 =~ ^[1-9][0-9]{0,8}$ ]] || [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then
    echo "error: $1 is \`$2\`: expected a whole number from $3 to $4" >&2
    exit 64
  fi
}

# start_mock PORT [FLAG…]: a mock upstream.
start_mock() {
  (cd "$folder" && exec "$binaries/test-proxy" --no-pid-file "${@:2}" "$1") \
    >>"$folder/mock-$1.log" 2>&1 &
  process[mock-$1]=$!
  wait_for "the mock upstream on port $1" port_open "$1"
}

# end NAME: kills that process and waits until it is gone.
end() {
  kill -KILL "${process[$1]}"
  wait "${process[$1]}" 2>/dev/null || true
  unset "process[$1]"
}

# pool PORT=WEIGHT…: writes the configuration of a proxy on $port with these upstreams.
pool() {
  local upstream list=
  for upstream in "$@"; do
    list="$list${list:+, }{ \"url\": \"http://127.0.0.1:${upstream%=*}\", \"weight\": ${upstream#*=} }"
  done
  cat >"$folder/config.new" <<JSON
{
  "server": { "name": "run", "listen_address": "127.0.0.1:$port", "pid_file": "$folder/proxy.pid" },
  "upstream_proxies": [$list],
  "health_check": { "backoff_base": "1s", "backoff_max": "2s" },
  "timeouts": { "connect": "2s", "reply": "2s", "pool_idle": "2s" },
  "logging": { "level": "error" }
}
JSON
  # In one step: a file that is read half written would be refused, which is right but not what these runs are about.
  mv "$folder/config.new" "$folder/config.json"
}

start_proxy() {
  "$binaries/proxy" --config "$folder/config.json" >"$folder/proxy.log" 2>&1 &
  process[proxy]=$!
  wait_for "the proxy to be ready" curl -fsS --max-time 5 "http://127.0.0.1:$port/readyz"
  descriptors_begin=$(descriptors)
  pipes_begin=$(pipes)
}

# The proxy's open descriptors, but for its pipes: each thread keeps up to four for the next stream, with two ends each.
descriptors() { find "/proc/${process[proxy]}/fd" -type l ! -lname 'pipe:*' | wc -l; }
pipes() { find "/proc/${process[proxy]}/fd" -type l -lname 'pipe:*' | wc -l; }
no_more_than_begin() { [ "$(descriptors)" -le "$descriptors_begin" ]; }
few_pipes() { [ "$(pipes)" -le $((pipes_begin + 8 * $(nproc))) ]; }
# nothing_left: whether the proxy has come back to the descriptors that it began with; kept connections may idle out first.
nothing_left() {
  wait_for "the proxy's descriptors to come back to $descriptors_begin" no_more_than_begin || true
  claim "descriptors: $descriptors_begin before any load, $(descriptors) at rest" no_more_than_begin
  claim "ends of pipes: $pipes_begin before any load, $(pipes) at rest, of which threads may keep $((8 * $(nproc)))" few_pipes
}

healthz() { curl -fsS --max-time 10 "http://127.0.0.1:$port/healthz"; }
