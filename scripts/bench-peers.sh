#!/bin/sh
# Compares netdrift with haproxy, squid, tinyproxy and nginx in one run, on loopback. Takes some minutes.
#
#   scripts/bench-peers.sh [--rounds N] [--millis N] [--measures NAME,…] [--contenders NAME,…] [--beside FILE] [--json FILE]
#   scripts/bench-peers.sh --table FILE PAGE…      writes the table of a kept run into pages
#
# The others come from the distribution; one that is not installed is left out.
set -eu
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
if [ "${1-}" = --table ]; then
  exec "$cargo" bench --locked -p proxy --bench peers -- "$@"
fi
missing=
for name in haproxy squid tinyproxy nginx; do
  [ -x "/usr/sbin/$name" ] || [ -x "/usr/bin/$name" ] || missing="$missing $name"
done
[ -z "$missing" ] || echo "left out, not installed:$missing  (apt-get install$missing)" >&2
# The binary as it ships: cargo bench would build it with the test features of its dependencies.
"$cargo" build --locked --release -p proxy
target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
exec "$cargo" bench --locked -p proxy --bench peers -- --proxy "$target/release/proxy" "$@"
