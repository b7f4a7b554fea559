#!/bin/sh
# Compares netdrift with haproxy, squid, tinyproxy and nginx in one run, on loopback. Takes some minutes.
#
#   scripts/bench-peers.sh [--rounds N] [--millis N] [--measures NAME,…] [--contenders NAME,…] [--beside FILE] [--json FILE]
#   scripts/bench-peers.sh --table FILE PAGE…      writes the table of a kept run into pages
#
# The others come from the distribution; one that is not installed is left out. PROFILE=none builds netdrift without a profile, which is a
# matter of a third of the time.
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
# The binary as it ships, by a profile where that can be had: cargo bench would build it with the test features of its dependencies.
proxy=$(CARGO="$cargo" scripts/pgo.sh)
exec "$cargo" bench --locked -p proxy --bench peers -- --proxy "$proxy" "$@"
