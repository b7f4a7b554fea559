#!/bin/sh
# Plays the shipped scenarios on the simulator as it was at a revision and as it is in this tree, and tells what differs in what the
# proxy, its clients and its upstreams did. Exit code 1 where something does, 69 where the old one can't be built.
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
# How long one run may take, and how many lines of a difference are shown.
seconds=${RUN_SECONDS:-120}
most=${MOST_LINES:-12}
folder=$(mktemp -d)
trap 'git worktree remove --force "$folder/old" 2>/dev/null || true; rm -rf "$folder"' EXIT
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
played=0 differ=0
for scenario in "$@"; do
  name=$(basename "$scenario" .json)
  file=scenarios/$name.json
  case $name in schema) continue ;; esac
  # What this tree's scenarios say may be unknown to an old simulator.
  if ! "$old" check "$file" >/dev/null 2>&1; then
    echo "left out    $name: the old simulator can't read it"
    continue
  fi
  timeout "$seconds" "$old" trace "$file" >"$folder/was" 2>/dev/null || [ $? -ne 124 ] || { echo "left out    $name: no end within ${seconds} s"; continue; }
  timeout "$seconds" "$new" trace "$file" >"$folder/is" 2>/dev/null || [ $? -ne 124 ] || { echo "left out    $name: no end within ${seconds} s"; continue; }
  played=$((played + 1))
  if ! "$new" diff "$folder/was" "$folder/is" >"$folder/diff" 2>&1; then
    differ=$((differ + 1))
    echo "differs     $name"
    head -n "$most" "$folder/diff" | cut -c1-400 | sed 's/^/            /'
  fi
done
echo "$played scenarios played on both, $differ differ"
[ "$differ" -eq 0 ]
