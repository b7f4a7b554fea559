#!/bin/sh
# Compares netdrift with haproxy, squid and tinyproxy in one run, on loopback. Takes some minutes.
#
#   scripts/bench-compare.sh [--rounds N] [--millis N]
#
# The others come from the distribution; one that is not installed is left out.
set -eu
cd "$(dirname "$0")/.."
missing=
for name in haproxy squid tinyproxy; do
  [ -x "/usr/sbin/$name" ] || [ -x "/usr/bin/$name" ] || missing="$missing $name"
done
[ -z "$missing" ] || echo "left out, not installed:$missing  (apt-get install$missing)" >&2
cargo=${CARGO:-cargo}
# The binary as it ships: cargo bench would build it with the test features of its dependencies.
"$cargo" build --locked --release -p proxy
target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
exec "$cargo" bench --locked -p proxy --bench compare -- --proxy "$target/release/proxy" "$@"
