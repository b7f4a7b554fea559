#!/usr/bin/env bash
# Breaks the proxy on purpose, in each way of simulator/mutations/, in a copy of what is committed. One build holds all of
# them, each behind a switch (simulator/mutations/switch.rs). The scenarios that name them must hold while none is on. Then,
# with one on at a time, it plays the scenarios that name it, and then a sweep. Prints a table of who noticed each, and
# after how many runs the sweep did.
#
#   scripts/mutations.sh              all of them
#   scripts/mutations.sh NAME…        these; the copy has no others
#   scripts/mutations.sh --canary     one of them, without a sweep: enough to see that a gate still bites
#
# A patch may say that only a story can notice it, and why: it begins with the line "A story alone: REASON".
#
# Ends with 1 if a mutation is not noticed by a story, or not by the sweep, or if a story notices none of those that it
# names in its `catches`, or does not hold while none is on; with 2 for a name that no mutation has. LIMIT is how many
# seconds the scenarios may take with one mutation (300): what hangs is noticed. SWEEP is how many runs the sweep has (1500;
# 0: no sweep), SEED what they follow from (1). SHRINK=1 adds the smallest scenario that still notices; it stays in
# target/mutations/. PROFILE is dev or release (release; dev for the canary): dev is built sooner, and plays longer.
set -euo pipefail
cd "$(dirname "$0")/.."

target="${CARGO_TARGET_DIR:-$PWD/target}"
copy=$(mktemp -d "${TMPDIR:-/tmp}/netdrift-mutations.XXXXXX")
# shellcheck disable=SC2064  # the folder's name of now is meant
trap "rm -rf '$copy'" EXIT
# With the times of now: cargo compares them, and the files of an older commit would look built.
git archive HEAD | tar -xm -C "$copy"
cd "$copy"

runs=${SWEEP:-1500}
profile=${PROFILE:-release}
names=("$@")
case "${1:-}" in
  --canary)
    runs=0
    profile=dev
    names=(never-ejected)
    ;;
  "")
    for patch in simulator/mutations/*.patch; do
      name=${patch##*/}
      names+=("${name%.patch}")
    done
    ;;
esac
for name in "${names[@]}"; do
  if [ ! -f "simulator/mutations/$name.patch" ]; then
    echo "there is no mutation $name" >&2
    exit 2
  fi
  git apply "simulator/mutations/$name.patch"
done
cp simulator/mutations/switch.rs proxy/src/
echo "mod switch; use switch::mutated;" >>proxy/src/lib.rs

# Kept between runs, apart from the project's own: cargo would take a mutated library for a sound one, since it names both
# alike.
export CARGO_TARGET_DIR="$target/mutations"
build=(build --quiet --locked -p simulator)
simulator="$CARGO_TARGET_DIR/debug/simulator"
if [ "$profile" = dev ]; then
  # What has been built of its dependencies serves it too.
  if [ -d "$target/debug/deps" ] && [ ! -d "$CARGO_TARGET_DIR/debug" ]; then
    mkdir -p "$CARGO_TARGET_DIR/debug/deps"
    cp -a "$target/debug/.fingerprint" "$target/debug/build" "$CARGO_TARGET_DIR/debug/"
    ours='(proxy|simulator|loadgen|mock[-_]upstreams|faulty[-_]upstream)-'
    find "$CARGO_TARGET_DIR/debug" -mindepth 2 -maxdepth 2 -regextype egrep -regex ".*/$ours[^/]*" -exec rm -rf {} +
    find "$target/debug/deps" -maxdepth 1 -type f -regextype egrep -regex '.*\.(rlib|rmeta|so|d)' ! -regex ".*/(lib)?$ours[^/]*" \
      -exec cp -a -t "$CARGO_TARGET_DIR/debug/deps" {} +
  fi
else
  # It is built once, and plays much.
  export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
  build+=(--release)
  simulator="$CARGO_TARGET_DIR/release/simulator"
fi
"${CARGO:-cargo}" "${build[@]}"

# catches STORY: the mutations that it names, one a line.
catches() { sed -nE 's/^  "catches": \[(.*)\],$/\1/p' "scenarios/$1.json" | tr -d '" ' | tr ',' '\n'; }
# stories NAME: the stories that name this mutation.
stories() { grep -lE "^  \"catches\": .*\"$1\"" scenarios/*.json; }
joined() { paste -sd, | sed 's/,/, /g'; }

unset NETDRIFT_MUTATION
mapfile -t played < <(for name in "${names[@]}"; do stories "$name"; done | sort -u)
if ! "$simulator" run "${played[@]}" >run.txt 2>&1; then
  cat run.txt >&2
  echo "a story does not hold although no mutation is on" >&2
  exit 1
fi
echo "${#played[@]} stories hold while no mutation is on."
echo

failed=0
: >noticed # lines of: mutation story
echo "| Mutation | Laws | Stories that notice | Runs of a sweep | Smallest |"
echo "|---|---|---|---|---|"
for name in "${names[@]}"; do
  export NETDRIFT_MUTATION=$name
  mapfile -t played < <(stories "$name")
  rm -f run.json
  status=0
  timeout "${LIMIT:-300}" "$simulator" run --json run.json "${played[@]}" >run.txt 2>errors.txt || status=$?
  laws=$(sed -nE 's/^ *"of": "([a-z-]+)(\[[0-9]+\])?",?$/\1/p' run.json 2>/dev/null | sort -u | joined || true)
  # The line tells the requests: the fewer, the sooner it is shrunk.
  sed -nE 's/^(violated|stuck|crashed|endless) +([^ ]+) seed [0-9]+: ([0-9]+) requests.*/\3 \2/p' run.txt | sort -n >failing
  awk -v name="$name" '{ print name, $2 }' failing >>noticed
  found=$(awk '{ print $2 }' failing | sort | joined)
  case $status in
    0)
      laws="**not noticed**"
      failed=1
      ;;
    1 | 2 | 3 | 4 | 70) ;;
    124) found="${found:+$found, }it hangs" ;;
    *)
      cat errors.txt >&2
      exit "$status"
      ;;
  esac
  swept=$(sed -n 's/^A story alone: //p' "simulator/mutations/$name.patch")
  if [ "$runs" -gt 0 ] && [ -z "$swept" ]; then
    status=0
    timeout "$((${LIMIT:-300} + runs))" "$simulator" sweep --runs "$runs" --seed "${SEED:-1}" --until-failure --keep sweep \
      >sweep.txt 2>errors.txt || status=$?
    swept=$(sed -nE 's/^([0-9]+) runs of seed .*, [1-9][0-9]* failed$/\1/p' sweep.txt)
    case $status in
      0) swept= ;;
      124) swept="it hangs" ;;
    esac
    if [ -z "$swept" ]; then
      swept="**none of $runs**"
      failed=1
    fi
  fi
  size=
  if [ -n "${SHRINK:-}" ] && [ -s failing ]; then
    first=$(awk 'NR == 1 { print $2 }' failing)
    size=$(timeout "${LIMIT:-300}" "$simulator" shrink "scenarios/$first.json" --to "$CARGO_TARGET_DIR/$name.json" --runs "${RUNS:-600}" |
      sed -n 's/^[0-9]* runs, left: //p' || true)
  fi
  echo "| $name | $laws | $found | $swept | $size |"
done

# A story is judged where all that it names was tried, and by one of these at least.
for file in scenarios/*.json; do
  story=${file##*/}
  story=${story%.json}
  tried=0 named=0 bites=0
  while read -r name; do
    named=$((named + 1))
    case " ${names[*]} " in *" $name "*) tried=$((tried + 1)) ;; esac
    if grep -qx "$name $story" noticed; then bites=1; fi
  done < <(catches "$story")
  if [ "$tried" -eq "$named" ] && [ "$bites" -eq 0 ]; then
    echo "$story notices nothing of what it names: $(catches "$story" | joined)" >&2
    failed=1
  fi
done
exit "$failed"
