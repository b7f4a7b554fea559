# Shared by the scripts beside it: looking at processes, waiting with a bound, reading a little JSON without jq.
# shellcheck shell=bash

# The environment wins over --config, so a setting left in a shell would make a script run something else.
unset PROXY_CONFIG
# curl must use the proxy under test and no other.
unset http_proxy https_proxy all_proxy no_proxy HTTPS_PROXY ALL_PROXY NO_PROXY

# wait_for WHAT COMMAND…: until COMMAND succeeds; an error naming WHAT after 30 seconds.
wait_for() {
  local what=$1 tries=0
  shift
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -ge 300 ]; then
      echo "error: waited 30 s for $what in vain" >&2
      return 1
    fi
    sleep 0.1
  done
}

# alive PID: whether the process runs (a zombie does not).
alive() {
  local stat
  kill -0 "$1" 2>/dev/null || return 1
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  case "${stat##*) }" in Z*) return 1 ;; esac
}

gone() { ! alive "$1"; }

# program PID: the name of the binary that it runs, where the system tells.
program() { cat "/proc/$1/comm" 2>/dev/null || ps -p "$1" -o comm= 2>/dev/null; }

# port_open PORT: whether something listens there on the loopback address.
port_open() { (exec 9<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

port_closed() { ! port_open "$1"; }

# number FIELD: the first value of that numeric field in the JSON on standard input.
number() { tr -d ' \n' | grep -o "\"$1\":[0-9]*" | head -n 1 | cut -d: -f2; }

# free_port: puts into `ports` one below the range from which the system takes client ports, and not given out before.
free_port() {
  local port tries
  for tries in {1..100}; do
    port=$((20000 + RANDOM % 12000))
    case " ${ports[*]} " in *" $port "*) continue ;; esac
    if port_closed "$port"; then
      ports+=("$port")
      return
    fi
  done
  echo "error: no free port found in $tries tries" >&2
  return 1
}

# scratch NAME: makes the folder `work`. When the script ends, the processes in `started` are ended, and the folder is removed.
scratch() {
  work=$(mktemp -d "${TMPDIR:-/tmp}/netdrift-$1.XXXXXX")
  started=()
  trap end_scratch EXIT
}

end_scratch() {
  local pid
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
  rm -rf "$work"
}
