#!/usr/bin/env bash
# Builds what is released, into dist/: the binary alone and static where that can be built, a Debian package, the list of what
# is in them (SBOM), and checksums of all that.
#
#   TARGET=…      what the archive is built for; by default x86_64-unknown-linux-musl where it can be built, else this machine
#   CARGO=…       cargo
#   PROFILE=…     as scripts/pgo.sh has it: `none` builds in a third of the time
#
# What is missing for one of them is named, and the exit code is 1 then; the others are built all the same.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
host=$(rustc -vV | sed -n 's/^host: //p')
static=x86_64-unknown-linux-musl
out=$PWD/dist
missing=()
# Of the last commit, so that the same tree gives the same files, but for a binary that was built by another profile.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH CARGO_PROFILE_RELEASE_STRIP=symbols
version=$("$cargo" pkgid -p proxy)
version=${version##*[#@]}

# lacks WHAT HOW
lacks() {
  echo "missing: $1   ($2)" >&2
  missing+=("$1")
}

has_static() {
  [ "$host" = x86_64-unknown-linux-gnu ] || return 1
  rustup target list --installed 2>/dev/null | grep -qx "$static" || { lacks "target $static" "rustup target add $static" && return 1; }
  command -v musl-gcc >/dev/null || { lacks musl-gcc "apt-get install musl-tools" && return 1; }
}

# build TARGET: the path of the binary, which is built by a profile where that can be had (scripts/pgo.sh). The places that a panic of it
# names are not folders of this machine.
build() {
  local binary places="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=/crates --remap-path-prefix=$PWD=/netdrift"
  binary=$(CARGO="$cargo" CC_x86_64_unknown_linux_musl=musl-gcc RUSTFLAGS="${RUSTFLAGS:-} $places" scripts/pgo.sh "$1") || return
  names_no_folder "$binary" >&2 || return
  echo "$binary"
}

# names_no_folder FILE: it names neither this folder nor cargo's.
names_no_folder() {
  if grep -aoF -e "$PWD/" -e "${CARGO_HOME:-$HOME/.cargo}/" "$1" | sort | uniq -c; then
    echo "error: $1 names folders of this machine"
    return 1
  fi
}

pack() { # TARGET BINARY
  local name=netdrift-$version-$1
  local folder=$out/$name
  mkdir -p "$folder"
  install -m 0755 "$2" "$folder/proxy"
  "$cargo" run --locked --quiet -p proxy --example manual -- "$folder" proxy
  cp -r configs LICENSE README.md CHANGELOG.md "$folder/"
  mkdir "$folder/deploy"
  cp deploy/README.md deploy/netdrift.service deploy/netdrift.socket deploy/kubernetes.yaml \
    deploy/servicemonitor.yaml deploy/METRICS.md "$folder/deploy/"
  cp -R deploy/prometheus deploy/grafana "$folder/deploy/"
  tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$out" -c "$name" | gzip -n >"$folder.tar.gz"
  rm -r "$folder"
}

debian() { # BINARY
  local unit
  if ! command -v cargo-deb >/dev/null; then lacks cargo-deb "cargo install --locked cargo-deb" && return; fi
  if ! command -v dpkg-shlibdeps >/dev/null; then lacks dpkg-shlibdeps "apt-get install dpkg-dev" && return; fi
  mkdir -p "$out/deb"
  # `proxy` is a name for a folder of one's own, not for /usr/bin.
  install -m 0755 "$1" "$out/deb/netdrift"
  "$cargo" run --locked --quiet -p proxy --example manual -- "$out/deb" netdrift
  for unit in netdrift.service netdrift.socket; do
    sed 's|/usr/local/bin/proxy|/usr/bin/netdrift|' "deploy/$unit" >"$out/deb/$unit"
  done
  "$cargo" deb --quiet -p proxy --no-build --no-strip ${DEB_VERSION:+--deb-version "$DEB_VERSION"} --output "$out/"
  rm -r "$out/deb"
}

bom() { # TARGET
  if ! command -v cargo-cyclonedx >/dev/null; then lacks cargo-cyclonedx "cargo install --locked cargo-cyclonedx" && return; fi
  "$cargo" cyclonedx --quiet --manifest-path proxy/Cargo.toml --format json --spec-version 1.5 --no-build-deps --target "$1" \
    --override-filename netdrift-dist
  # Where it was built is nobody's business, and the same tree gives the same file wherever that is.
  sed "s|path+file://$PWD/|path+file:///|g" proxy/netdrift-dist.json >"$out/netdrift-$version-$1.cdx.json"
  names_no_folder "$out/netdrift-$version-$1.cdx.json" >&2
  # It writes one beside every manifest of the workspace.
  rm -f ./*/netdrift-dist.json
}

rm -rf "$out"
mkdir "$out"
if [ -n "${TARGET:-}" ]; then target=$TARGET; elif has_static; then target=$static; else target=$host; fi
# A substitution that fails ends the script only where it stands alone.
binary=$(build "$target")
pack "$target" "$binary"
bom "$target"
# For a package of a distribution the system's own C library: it follows nsswitch.conf, and its updates reach us.
if [ "$host" = x86_64-unknown-linux-gnu ]; then
  binary=$(build "$host")
  debian "$binary"
  if [ "$target" != "$host" ]; then bom "$host"; fi
fi
(cd "$out" && sha256sum -- * >SHA256SUMS)
ls -l "$out"
if [ ${#missing[@]} -gt 0 ]; then
  echo "not everything could be built; missing: ${missing[*]}" >&2
  exit 1
fi
