#!/usr/bin/env bash
# Breaks the proxy on purpose, one patch of simulator/mutations/ at a time, in a copy of what is committed, plays the
# scenarios that name it against it, and then a sweep. Prints a table of who noticed each, and after how many runs the
# sweep did.
#
#   scripts/mutations.sh              all of them
#   scripts/mutations.sh NAME…        these
#   scripts/mutations.sh --canary     one of them, without a sweep: enough to see that a gate still bites
#
# Ends with 1 if a mutation is not noticed by a story, or not by the sweep, or if a story notices none of those that it
# names in its `catches`. LIMIT is how many seconds the scenarios may take with one mutation (300): what hangs is noticed.
# SWEEP is how many runs the sweep has (1500; 0: no sweep), SEED what they follow from (1). SHRINK=1 adds the smallest
# scenario that still notices; it stays in target/mutations/. PROFILE is dev or release (release; dev for the canary): dev
# is built sooner, and plays longer.
set -euo pipefail
cd "$(dirname "$0")/.."

canary=never-ejected
runs=${SWEEP:-1500}
profile=${PROFILE:-release}
names=("$@")
case "${1:-}" in
  --canary)
    runs=0
    profile=dev
    names=("$canary")
    ;;
  "")
    for patch in simulator/mutations/*.patch; do
      name=${patch##*/}
      names+=("${name%.patch}")
    done
    ;;
esac

copy=$(mktemp -d "${TMPDIR:-/tmp}/netdrift-mutations.XXXXXX")
# shellcheck disable=SC2064  # the folder's name of now is meant
trap "rm -rf '$copy'" EXIT
git archive HEAD | tar -x -C "$copy"
# Kept between runs, apart from the project's own: cargo would take a mutated library for a sound one, since it names both alike.
target="${CARGO_TARGET_DIR:-$PWD/target}"
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
  # Built often and run little: what makes a build quick is worth more than what makes a run quick.
  export CARGO_INCREMENTAL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=64 CARGO_PROFILE_RELEASE_OPT_LEVEL=1
  build+=(--release)
  simulator="$CARGO_TARGET_DIR/release/simulator"
fi

# catches STORY: the mutations that it names, one a line.
catches() { sed -nE 's/^  "catches": \[(.*)\],$/\1/p' "$copy/scenarios/$1.json" | tr -d '" ' | tr ',' '\n'; }
# stories NAME: the stories that name this mutation.
stories() { grep -lE "^  \"catches\": .*\"$1\"" "$copy"/scenarios/*.json; }
joined() { paste -sd, | sed 's/,/, /g'; }

failed=0
noticed=$copy/noticed # lines of: mutation story
: >"$noticed"
echo "| Mutation | Laws | Stories that notice | Runs of a sweep | Smallest |"
echo "|---|---|---|---|---|"
for name in "${names[@]}"; do
  patch="$PWD/simulator/mutations/$name.patch"
  (
    cd "$copy"
    git apply "$patch"
    "${CARGO:-cargo}" "${build[@]}"
  )
  mapfile -t played < <(stories "$name")
  rm -f "$copy/run.json"
  status=0
  timeout "${LIMIT:-300}" "$simulator" run --json "$copy/run.json" "${played[@]}" >"$copy/run.txt" 2>"$copy/errors.txt" || status=$?
  laws=$(sed -nE 's/^ *"of": "([a-z-]+)(\[[0-9]+\])?",?$/\1/p' "$copy/run.json" 2>/dev/null | sort -u | joined || true)
  # The line tells the requests: the fewer, the sooner it is shrunk.
  sed -nE 's/^(violated|stuck|crashed) +([^ ]+) seed [0-9]+: ([0-9]+) requests.*/\3 \2/p' "$copy/run.txt" | sort -n >"$copy/failing"
  awk -v name="$name" '{ print name, $2 }' "$copy/failing" >>"$noticed"
  found=$(awk '{ print $2 }' "$copy/failing" | sort | joined)
  case $status in
    0)
      laws="**not noticed**"
      failed=1
      ;;
    1 | 2 | 3 | 4 | 70) ;;
    124) found="${found:+$found, }it hangs" ;;
    *)
      cat "$copy/errors.txt" >&2
      exit "$status"
      ;;
  esac
  swept=
  if [ "$runs" -gt 0 ]; then
    status=0
    timeout "$((${LIMIT:-300} + runs))" "$simulator" sweep --runs "$runs" --seed "${SEED:-1}" --until-failure --keep "$copy/sweep" \
      >"$copy/sweep.txt" 2>"$copy/errors.txt" || status=$?
    swept=$(sed -nE 's/^([0-9]+) runs of seed .*, [1-9][0-9]* failed$/\1/p' "$copy/sweep.txt")
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
  if [ -n "${SHRINK:-}" ] && [ -s "$copy/failing" ]; then
    first=$(awk 'NR == 1 { print $2 }' "$copy/failing")
    size=$(timeout "${LIMIT:-300}" "$simulator" shrink "$copy/scenarios/$first.json" --to "$CARGO_TARGET_DIR/$name.json" --runs "${RUNS:-600}" |
      sed -n 's/^[0-9]* runs, left: //p' || true)
  fi
  echo "| $name | $laws | $found | $swept | $size |"
  (cd "$copy" && git apply --reverse "$patch")
done

# A story is judged where all that it names was tried, and by one of these at least.
for file in "$copy"/scenarios/*.json; do
  story=${file##*/}
  story=${story%.json}
  tried=0 named=0 bites=0
  while read -r name; do
    named=$((named + 1))
    case " ${names[*]} " in *" $name "*) tried=$((tried + 1)) ;; esac
    if grep -qx "$name $story" "$noticed"; then bites=1; fi
  done < <(catches "$story")
  if [ "$tried" -eq "$named" ] && [ "$bites" -eq 0 ]; then
    echo "$story notices nothing of what it names: $(catches "$story" | joined)" >&2
    failed=1
  fi
done
exit "$failed"
