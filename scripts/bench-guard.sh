#!/bin/sh
# Counts what a tunnel, a plain request, a pick and a health report cost: system calls, instructions, allocations. Noise does not touch
# these figures. Exit code 1 if one is 5 % above what proxy/benches/guard.json holds. Takes about a minute behind the build.
#
#   scripts/bench-guard.sh [--record]      --record writes the figures anew, where they are meant to be others
set -eu
cd "$(dirname "$0")/.."
missing=
for name in strace valgrind; do
  command -v "$name" >/dev/null || missing="$missing $name"
done
if [ -n "$missing" ]; then
  echo "error: not installed:$missing  (apt-get install$missing; dnf install$missing)" >&2
  exit 69
fi
cargo=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# The binary as it ships, set aside: cargo bench puts one with the test features of its dependencies in its place.
"$cargo" build --locked --release -p proxy
cp "$target/release/proxy" "$folder/proxy"
"$cargo" bench --locked -p proxy --bench guard -- --proxy "$folder/proxy" "$@"
