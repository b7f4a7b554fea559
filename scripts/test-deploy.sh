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

# The steps of deploy/ci are run as the services run them: once with a scenario that holds, once with one that does not.
pipelines() {
  local folder=$1 code
  if ! python3 -c 'import yaml' 2>/dev/null; then
    echo "FAIL  PyYAML is not installed (apt-get install python3-yaml), so the steps of deploy/ci are not run"
    failures=$((failures + 1))
    return
  fi
  cargo build --locked --quiet -p simulator --bin simulator || return
  python3 - "$folder" <<'END'
import pathlib, sys, yaml
folder = pathlib.Path(sys.argv[1])
action = yaml.safe_load(open("deploy/ci/github/action.yml"))
(folder / "github.sh").write_text(action["runs"]["steps"][0]["run"])
job = yaml.safe_load(open("deploy/ci/gitlab.yml"))[".netdrift-scenarios"]
(folder / "gitlab.sh").write_text("\n".join(job["script"]))
story = """{ "name": "NAME", "story": "One request.", "duration": "1s", "upstreams": [{ "name": "a" }],
  "clients": [{ "name": "c", "do": "connect", "requests": 1 }],
  "expect": [{ "what": "requests", "outcome": "ok", "exactly": 1 }] }
"""
(folder / "scenarios").mkdir()
(folder / "scenarios/holds.json").write_text(story.replace("NAME", "holds"))
(folder / "scenarios/breaks.json").write_text(story.replace("NAME", "breaks"))
END
  step() {
    (cd "$folder" && env SCENARIOS=scenarios SEEDS=1..2 BASE="${2:-}" OUTPUT="$1" GITHUB_STEP_SUMMARY="$folder/summary" \
      SIMULATOR="$simulator" bash --noprofile --norc -eo pipefail "${3:-github.sh}")
  }
  local simulator=${CARGO_TARGET_DIR:-$PWD/target}/debug/simulator
  check "GitHub: scenarios that hold pass" step base
  sed -i 's/"exactly": 1/"exactly": 2/' "$folder/scenarios/breaks.json"
  fails() {
    code=0
    step now base/results.json >"$folder/said" 2>&1 || code=$?
    cat "$folder/said"
    [ "$code" -eq 1 ] && grep -q '^::error file=scenarios/breaks.json,line=3,title=breaks violated%2C seed 2::expect\[0\]: ' "$folder/said"
  }
  check "GitHub: what does not hold is marked in its line" fails
  summary() { cat "$folder/summary" && grep -q '^\*\*2 new failures\*\*' "$folder/summary" && grep -q '^- new failures: breaks, seed 1$' "$folder/summary"; }
  check "GitHub: the summary names what is new since the base" summary
  check "GitHub: the pictures of what failed are kept" test -s "$folder/now/timelines/breaks-2.html" -a ! -e "$folder/now/timelines/holds-1.html"
  gitlab() { ! step lab base/results.json gitlab.sh && test -s "$folder/lab/junit.xml" && grep -q breaks "$folder/lab/summary.md"; }
  check "GitLab: the script fails and keeps its reports" gitlab
  rm "$folder/scenarios/breaks.json"
  check "GitLab: scenarios that hold pass" step lab "" gitlab.sh
}

folder=$(mktemp -d "${TMPDIR:-/tmp}/netdrift-deploy.XXXXXX")
# shellcheck disable=SC2064  # the folder's name of now is meant
trap "rm -rf '$folder'" EXIT
systemd "$folder"
kubernetes
pipelines "$folder"
[ "$failures" -eq 0 ]
