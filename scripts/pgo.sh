#!/usr/bin/env bash
# Builds the proxy by how its branches are taken under load (profile-guided optimisation): it is built with counters, driven by
# the bench `train`, and built again by what the counters say. Prints the path of the binary; everything else goes to standard error.
#
#   scripts/pgo.sh [TARGET]      TARGET as cargo knows it; by default this machine's
#   PROFILE=FILE                 build by this profile, which an earlier run left in target/TARGET.profdata; the same tree and profile
#                                give the same binary. PROFILE=none: build without
#
# It needs llvm-profdata of the compiler's LLVM: `rustup component add llvm-tools`, or the distribution's package llvm-NN. Where there is
# none, or where a build for TARGET doesn't run on this machine, the proxy is built without, and that is said.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
host=$(rustc -vV | sed -n 's/^host: //p')
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
target=${1:-$host}
folder=${CARGO_TARGET_DIR:-target}
case $folder in /*) ;; *) folder=$PWD/$folder ;; esac
flags=${RUSTFLAGS:-}
unset RUSTFLAGS
profile=${PROFILE:-}

# build FOLDER [FLAG]: with a target named, flags don't reach what only runs during the build.
build() {
  RUSTFLAGS="$flags ${2:-}" "$cargo" build --locked --release --target "$target" --target-dir "$1" -p proxy >&2
}

plain() {
  echo "built without a profile: $1" >&2
  build "$folder"
  echo "$folder/$target/release/proxy"
  exit
}

# One of another version can't read the counters.
profdata() {
  local tool
  for tool in "$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata" "llvm-profdata-$llvm" llvm-profdata; do
    if command -v "$tool" >/dev/null && "$tool" merge --version 2>/dev/null | grep -q "LLVM version $llvm\."; then
      echo "$tool"
      return
    fi
  done
  return 1
}

# Leaves the profile in $profile.
train() {
  local merge counting=$folder/counting/$target/release/proxy
  merge=$(profdata) || plain "no llvm-profdata of LLVM $llvm   (rustup component add llvm-tools, or apt-get install llvm-$llvm)"
  counts=$(mktemp -d)
  trap 'rm -rf "$counts"' EXIT
  # Where the counters go is said to the program and not to the compiler, which would build everything anew each time.
  build "$folder/counting" -Cprofile-generate || plain "no build with counters for $target"
  LLVM_PROFILE_FILE=/dev/null "$counting" --version >/dev/null || plain "a build for $target does not run here"
  LLVM_PROFILE_FILE="$counts/%m_%p.profraw" "$cargo" test --locked -p proxy --bench train -- --proxy "$counting" >&2
  profile=$folder/$target.profdata
  "$merge" merge -o "$profile" "$counts" >&2
  # cargo does not see that what is called so has changed.
  rm -rf "$folder/trained/$target"
}

case $profile in
none) plain "PROFILE=none" ;;
'') train ;;
*) profile=$(realpath "$profile") ;;
esac
build "$folder/trained" "-Cprofile-use=$profile"
echo "$folder/trained/$target/release/proxy"
