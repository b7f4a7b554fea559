#!/usr/bin/env bash
# Feeds each target of fuzz/ with bytes that libFuzzer makes up, for FUZZ seconds (60) each, from SEED (1). It begins with fuzz/seeds/TARGET, and
# with what earlier runs have found worth keeping (fuzz/corpus/TARGET). Any compiler will do: the targets check what they
# read by themselves, and safe code needs no sanitizer, which only a nightly compiler has.
#
#   scripts/fuzz.sh [TARGET…]      all of them, if none is named
#
# Ends with 1 where a target has failed; the bytes are in fuzz/artifacts/TARGET. Needs cargo-fuzz and a C++ compiler; without them it says
# so and ends with 77.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

cargo=${CARGO:-cargo}
if ! "$cargo" fuzz --version >/dev/null 2>&1; then
  echo "missing: cargo-fuzz    $cargo install --locked cargo-fuzz" >&2
  exit 77
fi
if ! command -v c++ >/dev/null; then
  echo "missing: a C++ compiler, of which libFuzzer is built    apt-get install g++" >&2
  exit 77
fi
# cargo-fuzz has no --locked: what a run finds should be found again by the same dependencies.
"$cargo" fetch --locked --quiet
targets=("$@")
if [ "$#" -eq 0 ]; then
  for target in fuzz_targets/*.rs; do
    target=${target##*/}
    targets+=("${target%.rs}")
  done
fi
# libFuzzer takes seeds of 31 bits, and 0 means a random one.
seed=$((${SEED:-1} % 2147483647 + 1))
failed=()
said=$(mktemp)
trap 'rm -f "$said"' EXIT
for target in "${targets[@]}"; do
  if [ ! -f "fuzz_targets/$target.rs" ]; then
    echo "there is no target $target in fuzz/fuzz_targets" >&2
    exit 64
  fi
  mkdir -p "corpus/$target"
  seeds=()
  [ ! -d "seeds/$target" ] || seeds=("seeds/$target")
  status=0
  "$cargo" fuzz run --sanitizer none "$target" "corpus/$target" "${seeds[@]}" -- \
    -max_len=8192 -max_total_time="${FUZZ:-60}" -seed="$seed" -print_final_stats=1 >"$said" 2>&1 || status=$?
  grep -E '^(Done|stat::number_of_executed_units|SUMMARY|thread|==|artifact_prefix|error)|panicked' "$said" || true
  if [ "$status" -eq 0 ]; then echo "fuzzed      $target"; else
    echo "FAILED      $target"
    failed+=("$target")
  fi
done
if [ "${#failed[@]}" -gt 0 ]; then
  echo "failed: ${failed[*]}    the bytes are in fuzz/artifacts; play them again with: cargo fuzz run --sanitizer none TARGET FILE" >&2
  exit 1
fi
