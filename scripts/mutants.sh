#!/usr/bin/env bash
# Changes one operator or one function of the proxy at a time (cargo-mutants, https://mutants.rs) and sees whether its tests
# notice. Prints the share that they catch; what they miss stands in target/mutants/ROOM-tests/mutants.out/missed.txt.
#
#   scripts/mutants.sh core            proxy/src/core, with its own unit tests; ends with 1 if they catch less than 95 %
#   scripts/mutants.sh upstream        proxy/src/upstream, with the proxy's unit and integration tests
#   scripts/mutants.sh client          proxy/src/client, likewise
#   scripts/mutants.sh --sweep ROOM    with a sweep of 60 made-up scenarios alone, which judge the proxy from outside (NETDRIFT_SWEEP_RUNS)
#   scripts/mutants.sh ROOM OPTION…    with options of cargo-mutants, such as: --re 'health\.rs', --shard 0/8
#
# The core needs nothing but std, so it is built alone: seconds for each mutant instead of a minute. The bounded search
# (core/search) is left out, since it would take longer than all other tests together: the share is theirs alone.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
if ! "$cargo" mutants --version >/dev/null 2>&1; then
  echo "missing: cargo-mutants    $cargo install --locked cargo-mutants" >&2
  exit 1
fi

by=tests
if [ "${1:-}" = --sweep ]; then
  by=sweep
  shift
fi
room=${1:-core}
shift || true
least=0
case $room in
  core) [ "$by" = sweep ] || least=95 ;;
  upstream | client) ;;
  *)
    echo "no such room: $room (core, upstream, client)" >&2
    exit 2
    ;;
esac

# A copy, so that nobody's editor and nobody's build ever sees a mutant. It keeps its own target folder between runs.
copy=target/mutants/$room-$by
mkdir -p "$copy"
find "$copy" -mindepth 1 -maxdepth 1 ! -name target ! -name mutants.out -exec rm -rf {} +
# What fails is enough to know: the smallest case that does is not wanted, and none is kept for later runs.
export PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 PROPTEST_MAX_SHRINK_ITERS=0 CARGO_PROFILE_DEV_DEBUG=false CARGO_INCREMENTAL=1
export CARGO_TARGET_DIR="$PWD/$copy/target"

case $room-$by in
  core-tests)
    package=core-alone
    tests=()
    mkdir -p "$copy/proxy/src"
    cp -R proxy/src/core "$copy/proxy/src/"
    rm -r "$copy/proxy/src/core/search"
    grep -vx -e '#\[cfg(test)\]' -e 'mod search;' proxy/src/core/mod.rs >"$copy/proxy/src/core/mod.rs"
    cp Cargo.lock "$copy/"
    printf '//! The core alone.\npub mod core;\n' >"$copy/proxy/src/lib.rs"
    cat >"$copy/Cargo.toml" <<END
[workspace]
resolver = "3"
members = ["proxy"]

[profile.dev.package."*"]
opt-level = 2
END
    cat >"$copy/proxy/Cargo.toml" <<END
[package]
name = "$package"
version = "0.0.0"
edition = "2024"

[lib]
doctest = false

[dev-dependencies]
$(grep '^proptest = ' Cargo.toml)
END
    ;;
  *-sweep)
    package=proxy
    # A run of a sweep takes five times as long without optimisation.
    export CARGO_PROFILE_DEV_OPT_LEVEL=1 NETDRIFT_SWEEP_RUNS=${NETDRIFT_SWEEP_RUNS:-60}
    set -- --test-package simulator "$@"
    tests=(--test sweep)
    git archive HEAD | tar -x -C "$copy"
    ;;
  *)
    package=proxy
    tests=(--lib --test it -- --skip core::)
    git archive HEAD | tar -x -C "$copy"
    ;;
esac

out=$copy/mutants.out
rm -rf "$out" "$out.old"
status=0
"$cargo" mutants --in-place --dir "$copy" --config "$PWD/.cargo/mutants.toml" --output "$copy" --no-times \
  --file "proxy/src/$room/**" --package "$package" "$@" -- ${tests[@]+"${tests[@]}"} || status=$?
# 2: some were missed; 3: some ran for ever, which is noticed. Anything else is no result, and so is a mere list.
case $status in
  0 | 2 | 3) [ -e "$out/caught.txt" ] || exit "$status" ;;
  *) exit "$status" ;;
esac

count() { cat "$@" | wc -l; }
caught=$(count "$out/caught.txt" "$out/timeout.txt")
all=$(count "$out/caught.txt" "$out/timeout.txt" "$out/missed.txt")
if [ "$all" -eq 0 ]; then
  echo "no mutant of $room could be tested" >&2
  exit 1
fi
awk -v room="$room" -v by="$by" -v caught="$caught" -v all="$all" -v least="$least" 'BEGIN {
  share = 100 * caught / all
  printf "%s: %d of %d mutants are caught by %s, %.1f %%\n", room, caught, all, by == "sweep" ? "a sweep alone" : "tests", share
  exit share < least
}'
