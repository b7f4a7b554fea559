#!/usr/bin/env bash
# Breaks the proxy on purpose, one patch of simulator/mutations/ at a time, in a copy of what is committed: plays all
# shipped scenarios against it, shrinks the smallest that fails, and prints a row of the table in simulator/README.md.
#
#   scripts/mutations.sh              all of them
#   scripts/mutations.sh NAME…        these
#
# Ends with 1 if a mutation is not noticed.
set -euo pipefail
cd "$(dirname "$0")/.."

names=("$@")
if [ "${#names[@]}" -eq 0 ]; then
  for patch in simulator/mutations/*.patch; do
    name=${patch##*/}
    names+=("${name%.patch}")
  done
fi

copy=$(mktemp -d "${TMPDIR:-/tmp}/netdrift-mutations.XXXXXX")
# shellcheck disable=SC2064  # the folder's name of now is meant
trap "rm -rf '$copy'" EXIT
git archive HEAD | tar -x -C "$copy"
# Kept between runs, apart from the project's own: a mutated binary must never be taken for a sound one.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/mutations"
# Built often and run little: what makes a build quick is worth more than what makes a run quick.
export CARGO_INCREMENTAL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
simulator="$CARGO_TARGET_DIR/release/simulator"

unnoticed=0
echo "| Mutation | Caught by | Scenarios that fail | Smallest that still does |"
echo "|---|---|---|---|"
for name in "${names[@]}"; do
  patch="$PWD/simulator/mutations/$name.patch"
  (
    cd "$copy"
    git apply "$patch"
    "${CARGO:-cargo}" build --quiet --locked --release -p simulator
  )
  "$simulator" run --json "$copy/run.json" "$copy/scenarios" >"$copy/run.txt" || true
  caught=$(sed -nE 's/^ *"of": "([a-z-]+)(\[[0-9]+\])?",?$/\1/p' "$copy/run.json" | sort | uniq -c | sort -rn | awk '{ print $2 }' | paste -sd, | sed 's/,/, /g')
  failed=$(grep -cE '^(violated|stuck|crashed) ' "$copy/run.txt" || true)
  if [ "$failed" -eq 0 ]; then
    echo "| $name | **not noticed** | 0 | |"
    unnoticed=$((unnoticed + 1))
  else
    # The line tells the requests: the fewer, the sooner it is shrunk.
    first=$(sed -nE 's/^(violated|stuck|crashed) +([^ ]+) seed [0-9]+: ([0-9]+) requests.*/\3 \2/p' "$copy/run.txt" | sort -n | awk 'NR == 1 { print $2 }')
    # The smaller scenario stays there to be looked at.
    size=$("$simulator" shrink "$copy/scenarios/$first.json" --to "$CARGO_TARGET_DIR/$name.json" --runs "${RUNS:-600}" |
      sed -n 's/^[0-9]* runs, left: //p' || true)
    echo "| $name | $caught | $failed | $size |"
  fi
  (cd "$copy" && git apply --reverse "$patch")
done
[ "$unnoticed" -eq 0 ]
