#!/bin/sh
# Plays the shipped scenarios on the simulator as it was at a revision and as it is in this tree, and tells what differs in what the
# proxy, its clients and its upstreams did, and what the laws say of it. Exit code 1 where something does or could not be played, 69 where the old one can't be built.
#
#   scripts/old-new.sh REV [SCENARIO…]      SCENARIO: names such as one-refuses; all, if none is named
set -eu
cd "$(dirname "$0")/.."
if [ $# -lt 1 ]; then
  sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
  exit 64
fi
revision=$(git rev-parse --verify --quiet "$1^{commit}") || { echo "error: no revision $1" >&2; exit 64; }
shift
cargo=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
# How long one run may take, and how many lines are shown of what differs in the traces, and as many of what the laws say.
seconds=${RUN_SECONDS:-120}
most=${MOST_LINES:-24}
folder=$(mktemp -d)
trap 'git worktree remove --force "$folder/old" 2>/dev/null || true; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
git worktree add --quiet --detach "$folder/old" "$revision"
# Each has a folder of its own to be built in, so that neither takes the other's for its own.
if ! (cd "$folder/old" && CARGO_TARGET_DIR="$target/old-new" "$cargo" build --locked --release --quiet -p simulator --bins); then
  echo "skipped: the simulator of $revision can't be built here" >&2
  exit 69
fi
old=$target/old-new/release/simulator
"$cargo" build --locked --release --quiet -p simulator --bins
new=$target/release/simulator
if [ $# -eq 0 ]; then
  set -- scenarios/*.json
fi
played=0 differ=0 failed=0 unread=0
for scenario in "$@"; do
  name=$(basename "$scenario" .json)
  file=scenarios/$name.json
  case $name in schema) continue ;; esac
  # What this tree's scenarios say may be unknown to an old simulator.
  if ! "$old" check "$file" >/dev/null 2>&1; then
    echo "left out    $name: the old simulator can't read it"
    continue
  fi
  # 1 to 4 are verdicts on a run that was played; with anything else there is no whole trace.
  for side in was is; do
    [ "$side" = was ] && simulator=$old || simulator=$new
    status=0
    timeout "$seconds" "$simulator" trace "$file" >"$folder/$side" 2>"$folder/why" || status=$?
    [ "$status" -gt 4 ] || continue
    echo "FAILED      $name: the $([ "$side" = was ] && echo old || echo new) simulator ended with $status: $(tail -n 1 "$folder/why")"
    failed=$((failed + 1))
    continue 2
  done
  played=$((played + 1))
  status=0
  "$new" diff "$folder/was" "$folder/is" >"$folder/diff" 2>&1 || status=$?
  if [ "$status" -gt 1 ]; then
    echo "FAILED      $name: $(tail -n 1 "$folder/diff")"
    failed=$((failed + 1))
    continue
  fi
  # Each build judges its own run, where the runs are the same too. What an old build does not write so, or writes in another shape, can't be
  # compared; the traces can.
  rm -f "$folder"/*.json "$folder/laws"
  for side in was is; do
    [ "$side" = was ] && simulator=$old || simulator=$new
    timeout "$seconds" "$simulator" run "$file" --json "$folder/$side.json" >/dev/null 2>&1 || true
  done
  judged=65
  echo "one of them has not written what its laws say" >"$folder/why"
  if [ -s "$folder/was.json" ] && [ -s "$folder/is.json" ]; then
    judged=0
    "$new" diff "$folder/was" "$folder/is" --results "$folder/was.json" "$folder/is.json" >"$folder/both" 2>"$folder/why" || judged=$?
  fi
  if [ "$judged" -le 1 ]; then
    # What the laws say stands behind what the traces show.
    tail -n +$(($(wc -l <"$folder/diff") + 1)) "$folder/both" >"$folder/laws"
  else
    unread=$((unread + 1))
    echo "the laws can't be compared: $(tail -n 1 "$folder/why")" >"$folder/laws"
  fi
  if [ "$status" -eq 1 ] || [ "$judged" -eq 1 ]; then
    differ=$((differ + 1))
    echo "differs     $name"
    for part in diff laws; do
      head -n "$most" "$folder/$part" | cut -c1-400 | sed 's/^/            /'
    done
  fi
done
echo "$played scenarios played on both, $differ differ, $failed failed; of $unread the laws could not be compared"
[ "$differ" -eq 0 ] && [ "$failed" -eq 0 ]
