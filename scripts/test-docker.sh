#!/usr/bin/env bash
# Builds the images and tries the compose files, with an engine and a network of its own and base images that it makes: no image
# registry is reached, and no container, port or firewall rule of this machine is touched. Ten minutes, or two with the base images
# of an earlier run.
#
#   scripts/test-docker.sh [FOLDER]     FOLDER keeps the engine's data and the base images; by default one in TMPDIR
#
# Needs root, Debian's docker.io, docker-compose, docker-buildx (from Debian 13 on), debootstrap and iproute2, and the toolchain's target
# x86_64-unknown-linux-musl. Where the engine can't start it says why and fails.
set -uo pipefail
cd "$(dirname "$0")/.."
source_tree=$PWD
folder=$(realpath -m "${1:-${TMPDIR:-/tmp}/netdrift-docker}")
namespace=netdrift-docker
static=x86_64-unknown-linux-musl
export DOCKER_HOST=unix://$folder/run/docker.sock BUILD_IMAGE=my-rust RUN_IMAGE=scratch SHELL_IMAGE=my-debian
unset PROXY_CONFIG PROXY_PASSWORD PROXY_PASSWORD_HASH UPSTREAM_USERNAME UPSTREAM_PASSWORD UPSTREAM_A UPSTREAM_B CONFIG PUBLISH
passed=0 failed=0 daemon=

give_up() {
  echo "error: $*" >&2
  exit 1
}

# check WHAT COMMAND: the command is a line of shell; its output is shown where it fails.
check() {
  if eval "$2" >"$folder/last.log" 2>&1; then
    passed=$((passed + 1))
    echo "ok    $1"
  else
    failed=$((failed + 1))
    echo "FAIL  $1"
    tail -n 12 "$folder/last.log" | sed 's/^/      /'
  fi
}

# within SECONDS COMMAND…: until the line of shell succeeds.
within() {
  local n=$1 tries
  shift
  for ((tries = 0; tries < n; tries++)); do
    eval "$@" && return
    sleep 1
  done
  return 1
}

# Not `ip netns exec`, which hides the control groups from the engine.
in_network() { nsenter --net="/run/netns/$namespace" "$@"; }

finish() {
  if [ -n "$daemon" ]; then
    docker ps -aq | xargs -r docker rm -f >/dev/null 2>&1
    kill "$daemon"
    wait "$daemon"
  fi
  mountpoint -q "$folder/run/data" && umount "$folder/run/data"
  ip netns del "$namespace" 2>/dev/null
}

start_engine() {
  local tool
  [ "$(id -u)" = 0 ] || give_up "an engine of its own needs root"
  for tool in docker dockerd debootstrap ip nsenter; do command -v "$tool" >/dev/null || give_up "$tool is not installed"; done
  for tool in compose buildx; do docker "$tool" version >/dev/null 2>&1 || give_up "docker $tool is not installed"; done
  [ -d "$(rustc --print sysroot)/lib/rustlib/$static" ] || give_up "no static programs can be built: rustup target add $static"
  mkdir -p "$folder/run"
  if docker info >/dev/null 2>&1; then give_up "an engine of an earlier run still answers: kill $(cat "$folder/run/pid")"; fi
  ip netns add "$namespace" && in_network ip link set lo up || give_up "no network of its own can be had"
  # Not by the function, whose process would be the one that is ended at the end, and not the engine.
  nsenter --net="/run/netns/$namespace" dockerd --data-root "$folder/run/data" --exec-root "$folder/run/exec" --pidfile "$folder/run/pid" \
    --host "$DOCKER_HOST" >"$folder/dockerd.log" 2>&1 &
  daemon=$!
  within 30 'docker info >/dev/null 2>&1' || give_up "the engine does not start: $(tail -n 3 "$folder/dockerd.log")"
}

# A minimal Debian, and another one with a C compiler, this machine's toolchain and the crates that it has fetched.
make_base_images() {
  local base=$folder/base build=$folder/build sysroot mirror path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  if docker image inspect my-rust my-debian >/dev/null 2>&1; then return; fi
  rm -rf "$base" "$build"
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' | head -n 1)
  debootstrap --variant=minbase bookworm "$base" ${mirror:+"$mirror"} >"$folder/debootstrap.log" || give_up "no base image"
  cp -a "$base" "$build"
  chroot "$build" sh -c 'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends gcc libc6-dev musl-tools ca-certificates' \
    >>"$folder/debootstrap.log" 2>&1 || give_up "no compiler for the build image"
  (cd "$source_tree" && cargo fetch --locked -q) || give_up "the crates can't be fetched"
  sysroot=$(rustc --print sysroot)
  mkdir -p "$build"/opt/rust/bin "$build"/opt/cargo/registry
  cp -a "$sysroot"/bin/{cargo,rustc} "$build/opt/rust/bin/" && cp -a "$sysroot/lib" "$build/opt/rust/"
  cp -a ~/.cargo/registry/{index,cache} "$build/opt/cargo/registry/"
  rm -rf {"$base","$build"}/var/lib/apt/lists/* {"$base","$build"}/var/cache/apt/* "$base"/usr/share/{doc,man,locale,info}/*
  tar -C "$base" -c . | docker import - my-debian >/dev/null || give_up "no base image"
  # As rust:1-alpine does by itself, it makes static programs. Images that are thrown away need no optimiser that takes minutes.
  tar -C "$build" -c . | docker import --change "ENV PATH=/opt/rust/bin:$path" --change 'ENV CARGO_HOME=/opt/cargo' --change 'ENV CARGO_NET_OFFLINE=true' \
    --change "ENV CARGO_BUILD_TARGET=$static" --change 'ENV CC_x86_64_unknown_linux_musl=musl-gcc' \
    --change 'ENV CARGO_PROFILE_RELEASE_LTO=off' --change 'ENV CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16' --change 'ENV CARGO_PROFILE_RELEASE_OPT_LEVEL=1' - my-rust >/dev/null ||
    give_up "no build image"
  rm -rf "$base" "$build"
}

# The tree as it stands, uncommitted changes included: the checks change its files.
copy_tree() {
  rm -rf "$folder/netdrift"
  mkdir "$folder/netdrift"
  git ls-files -z --cached --others --exclude-standard | tar --null -T - -c | tar -x -C "$folder/netdrift"
  cd "$folder/netdrift" || exit 1
}

testing() { docker compose -f docker-compose.test.yml "$@"; }
production() { docker compose -f docker-compose.prod.yml "$@"; }

# of STACK SERVICE FORMAT: what the engine says of its container.
of() { docker inspect "$("$1" ps -aq "$2")" --format "$3"; }

# get PASSWORD CURL-ARGUMENTS…
get() { in_network curl -s -m 15 -x "http://proxyuser:$1@127.0.0.1:3130" "${@:2}" http://http.mock/ip; }

# tunnel PASSWORD SECONDS: one CONNECT to the echo, held that long.
tunnel() {
  in_network bash -c 'exec 3<>/dev/tcp/127.0.0.1/3130
    printf "CONNECT echo.mock:7 HTTP/1.1\r\nHost: echo.mock:7\r\nProxy-Authorization: Basic %s\r\n\r\n" "$(printf "proxyuser:$1" | base64 -w0)" >&3
    while read -r -t 5 line <&3; [ "$line" != $'"'\r'"' ]; do [ -n "$line" ] || exit 1; done
    for ((i = 0; i < $2; i++)); do echo "ping $i" >&3 && read -r -t 5 got <&3 && [ "$got" = "ping $i" ] || exit 1; sleep 1; done' _ "$@"
}

reloads() { testing logs proxy 2>&1 | grep -c "configuration reloaded"; }

# starts_with_https ARGUMENT…: whether a container with an https:// upstream comes up, which it doesn't where there are no root certificates.
starts_with_https() {
  local result
  echo '{ "upstream_proxies": [{ "url": "https://upstream.invalid" }] }' >configs/https.json
  docker run -d --name https -v "$PWD/configs:/app/configs:ro,z" -e PROXY_CONFIG=/app/configs/https.json "$@" netdrift:latest
  within 5 'docker exec https proxy healthcheck'
  result=$?
  docker logs https
  docker rm -f https
  rm configs/https.json
  return "$result"
}

# layers IMAGE: one a line.
layers() { docker image inspect "$1" --format '{{range .RootFS.Layers}}{{println .}}{{end}}' | grep .; }

# in_common IMAGE IMAGE: how many layers they share.
in_common() { comm -12 <(layers "$1" | sort) <(layers "$2" | sort) | grep -c .; }

check_images() {
  check "make docker-prod" 'make docker-prod'
  check "the production image is one static program of less than 12 MB" \
    'size=$(docker image inspect netdrift:latest --format "{{.Size}}"); echo "$size"; test "$size" -lt 12000000 && docker run --rm netdrift:latest --version | grep "^proxy "'
  check "make docker-test" 'make docker-test'
  check "the test image has the certificates and the proxy of the production image, built once" 'test "$(in_common netdrift:latest netdrift:test)" -ge 2'
  check "make docker-harness" 'make docker-harness'
  check "the harness: all five programs, and a scenario passes" \
    'docker run --rm netdrift-harness bash -c "for one in proxy test-proxy faulty-proxy simulator loadgen; do \$one --version || exit; done; simulator run /app/scenarios/one-refuses.json"'
  check "the sweep job's command in the job's image plays its part" \
    'docker run --rm -e JOB_COMPLETION_INDEX=0 -e SHARDS=2 -e RUNS=4 -e SEED=1 -e RESULTS=/work "$(sed -n "s/^ *image: //p" deploy/sweep-job.yaml)" /bin/sh -c "$(sed -n "s/^ *- exec simulator/exec simulator/p" deploy/sweep-job.yaml)" | grep "2 runs"'
  docker images --format '      {{.Repository}}:{{.Tag}} {{.Size}}' | grep netdrift
  [ "$failed" = 0 ] || return
  check "a container with nothing set ends with 78 and says which variable is missing" \
    'docker run --rm netdrift:latest >out 2>&1; test $? = 78 && grep PROXY_PASSWORD out'
  check "the root certificates for https:// upstreams are in it" 'starts_with_https && ! starts_with_https -e SSL_CERT_FILE=/nowhere'
}

check_test_stack() {
  check "test stack: up, and healthy" 'testing up -d --wait'
  check "test stack: four requests, shares 3 to 1" \
    'test "$(for i in 1 2 3 4; do get test-stack; done | sort | uniq -c | xargs)" = "3 mock-3025 1 mock-3026"'
  check "test stack: a wrong password is 407" 'get wrong -o /dev/null -w "%{http_code}" | grep -x 407'
  # There is no shell in it to ask.
  check "test stack: not root, nothing writable but what the control socket needs, no capability" \
    'id=$(of testing proxy {{.State.Pid}}); grep -E "^Uid:\s10001\s10001\s10001\s10001$" /proc/$id/status && grep "^CapBnd:.*0000000000000000" /proc/$id/status && grep " / / ro," /proc/$id/mountinfo && test "$(awk "\$6 ~ /^rw/ && \$5 !~ /^\\/(proc|dev|sys)/ { print \$5 }" /proc/$id/mountinfo | grep -vx -e /etc/resolv.conf -e /etc/hostname -e /etc/hosts)" = /run/netdrift'
  check "test stack: nothing is warned about" 'testing logs proxy 2>&1 >all; grep "netdrift 0" all; ! grep -E "WARN|ERROR" all'
  check "test stack: a replaced file is read again" \
    'sed -i "s/\"weight\": 3/\"weight\": 1/" configs/docker.json; within 5 "testing logs proxy 2>&1 | grep \"weight 3 → 1\""'
  check "test stack: proxy reload in the container" 'testing exec -T proxy proxy reload | grep "reloaded (configuration"'
  check "test stack: a bad file changes nothing, and proxy reload says why" \
    'cp configs/docker.json good; echo "{" >configs/docker.json; ! testing exec -T proxy proxy reload >out 2>&1; grep "not JSON" out; echo "{}" >configs/docker.json; testing exec -T proxy proxy reload; test $? = 78 && grep "not JSON" out && get test-stack | grep mock; r=$?; cp good configs/docker.json; test $r = 0'
  check "test stack: SIGHUP reloads" 'sleep 3; n=$(reloads); testing kill -s HUP proxy; within 5 "test \$(reloads) -gt $n"'
  check "test stack: stop waits for an open tunnel, exits 0" \
    'tunnel test-stack 8 & t=$!; sleep 2; s=$SECONDS; testing stop; took=$((SECONDS - s)); wait $t && [ $took -ge 4 ] && [ $took -le 20 ] && of testing proxy {{.State.ExitCode}} | grep -x 0 && of testing test-proxies {{.State.ExitCode}} | grep -x 0'
  check "test stack: down leaves nothing" 'testing down && test -z "$(docker ps -aq)"'
}

check_production() {
  local hash up
  check "production: every variable that is missing is named, exit code 78" \
    'production run --rm proxy --check >out 2>&1; test $? = 78 && grep PROXY_PASSWORD_HASH out && grep "UPSTREAM_USERNAME.*UPSTREAM_PASSWORD.*UPSTREAM_A" out'
  check "production: up --wait fails when variables are missing" '! timeout 90 docker compose -f docker-compose.prod.yml up -d --wait; production down'
  hash=$(printf s3cret | docker run --rm -i netdrift:latest hash-password)
  printf '%s\n' "PROXY_PASSWORD_HASH=$hash" UPSTREAM_USERNAME=up UPSTREAM_PASSWORD=p%40ss UPSTREAM_A=up-a:3025 UPSTREAM_B=up-b:3026 >.env
  check "production: a hash without its quotes is refused" '! production run --rm proxy --check >out 2>&1; grep "single quotes" out'
  sed -i "s|^PROXY_PASSWORD_HASH=.*|PROXY_PASSWORD_HASH='$hash'|" .env
  check "production: up, and healthy" 'production up -d --wait'
  for up in a:3025 b:3026; do
    docker run -d --init --name "up-${up%:*}" --network netdrift_default netdrift:test test-proxy --bind 0.0.0.0 --no-pid-file --auth up:p@ss "${up#*:}" >/dev/null
  done
  check "production: a request" 'within 10 "get s3cret | grep mock-"'
  check "production: a test stack beside it takes nothing from it" \
    'id=$(production ps -q proxy); PUBLISH=127.0.0.1:3131 testing up -d; PUBLISH=127.0.0.1:3131 testing down; test "$(docker inspect $id --format {{.State.Running}})" = true && test "$(production ps -q proxy)" = "$id"'
  check "production: docker stop: unready, serving, drained, 0" \
    'tunnel s3cret 16 & t=$!; sleep 2; id=$(production ps -q proxy); docker stop $id & d=$!; sleep 2; in_network curl -s -m 5 -o /dev/null -w "%{http_code}" http://127.0.0.1:3130/readyz | grep -x 503 && get s3cret | grep mock- && wait $t && wait $d && test $(docker inspect $id --format {{.State.ExitCode}}) = 0'
  production down >/dev/null 2>&1
  check "make docker-run: a proxy that can be used" \
    '(make -o docker-prod docker-run &); within 20 "in_network curl -sf -m 3 http://127.0.0.1:3130/healthz"; r=$?; docker stop netdrift; test $r = 0'
  docker rm -f up-a up-b >/dev/null
  production down >/dev/null 2>&1
  check "make docker-clean" \
    'testing up -d; make docker-clean; test -z "$(docker ps -aq)" && test -z "$(docker images -q netdrift netdrift-harness)" && test "$(docker network ls -q | wc -l)" = 3'
}

trap finish EXIT
start_engine
make_base_images
copy_tree
check_images
if [ "$failed" = 0 ]; then
  check_test_stack
  check_production
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
