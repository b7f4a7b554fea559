#!/usr/bin/env bash
# Checks what deploy/ ships with the tools that will read it. Where a tool is missing it says so and fails.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

failures=0
# check WHAT COMMAND…: its output is shown where it fails.
check() {
  local what=$1 output
  shift
  if output=$("$@" 2>&1); then echo "ok    $what"; else
    echo "FAIL  $what"
    sed 's/^/      /' <<<"$output"
    failures=$((failures + 1))
  fi
}

# The most that `systemd-analyze security` may find exposed, in tenths of its points (10 is a process without any sandbox).
exposure=15

systemd() {
  local folder=$1 unit
  if ! command -v systemd-analyze >/dev/null; then
    echo "FAIL  systemd-analyze is not installed (apt-get install systemd), so the units are not checked"
    failures=$((failures + 1))
    return
  fi
  # The binary need not be installed where the unit has it: any program will do to verify the rest.
  for unit in deploy/netdrift.service deploy/netdrift.socket; do
    sed 's|/usr/local/bin/proxy|/bin/true|' "$unit" >"$folder/${unit##*/}"
  done
  # It complains of units of this machine too, and ends with 0 all the same: only what it says of ours counts.
  verify() {
    local said
    said=$(systemd-analyze verify "$folder"/netdrift.{service,socket} 2>&1) || { echo "$said" && return 1; }
    ! grep -F netdrift <<<"$said"
  }
  check "systemd-analyze verify" verify
  security() {
    local said
    said=$(systemd-analyze security --offline=true --no-pager --threshold="$exposure" "$folder/netdrift.service" 2>&1) ||
      { grep -v '^✓' <<<"$said" && return 1; }
  }
  check "systemd-analyze security: at most $exposure tenths exposed" security
}

kubernetes() {
  local version
  if ! command -v kubernetes-validate >/dev/null; then
    echo "FAIL  kubernetes-validate is not installed (pip install kubernetes-validate), so the manifests are not checked"
    failures=$((failures + 1))
    return
  fi
  for version in 1.29 1.33 1.37; do
    check "the manifests are those of Kubernetes $version" \
      kubernetes-validate --strict -k "$version" deploy/kubernetes.yaml deploy/sweep-job.yaml
  done
}

folder=$(mktemp -d "${TMPDIR:-/tmp}/netdrift-deploy.XXXXXX")
# shellcheck disable=SC2064  # the folder's name of now is meant
trap "rm -rf '$folder'" EXIT
systemd "$folder"
kubernetes
[ "$failures" -eq 0 ]
