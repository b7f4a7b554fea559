#!/usr/bin/env bash
# Everything that takes too long for the gate, from one seed: sweeps on both simulated engines, mutations, parity, fidelity, netdrift's
# column of the matrix, soak, fuzzing. What each step says is kept in runs/COMMIT-SEED/; runs/index.html is one page over all of these folders.
#
#   scripts/nightly.sh                all steps
#   scripts/nightly.sh STEP…          these: sweep, sweep-turmoil, mutations, parity, fidelity, matrix, soak, fuzz
#   scripts/nightly.sh page           only write the page anew
#
# SEED is what all follows from: the date (20261126) if left out, so that every night plays something else, and a night can
# be played again. SWEEP_RUNS (20000) runs of each sweep; SOAK seconds of soak (600); FUZZ seconds of each fuzz target (60).
# The step `sweep` fails as well where neither its runs nor the stories reach something that is not listed as unreachable; since chance may
# leave out what one run in thousands reaches, it sweeps by the next seeds, up to three times, before it says so. Ends with 1 if a step
# failed, after all of them. What fuzzing needs (cargo-fuzz, a C++ compiler) is named where it is missing, and the step counts as skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
seed=${SEED:-$(date -u +%Y%m%d)}
cargo=${CARGO:-cargo}
steps=(sweep sweep-turmoil mutations parity fidelity matrix soak fuzz)
[[ $seed =~ ^[0-9]+$ ]] || { echo "nightly: SEED must be a whole number, not '$seed'" >&2; exit 64; }

escaped() { sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' -e 's/"/\&quot;/g'; }

# page: a row for each folder of runs/, the newest first, a column for each step.
page() {
  local here what step outcome
  {
    echo '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    echo '<title>netdrift: nightly runs</title>'
    echo '<style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui;margin:1rem}table{border-collapse:collapse}'
    echo 'td,th{border:1px solid;padding:.3rem .6rem;text-align:left}.failed{font-weight:bold}</style>'
    echo '<h1>Nightly runs</h1><p>Each row is a commit and the seed that all of it follows from; each cell leads to what the step said.</p>'
    echo "<table><tr><th>When<th>Commit<th>Seed$(printf '<th>%s' "${steps[@]}")</tr>"
    for here in $(ls -1dt runs/*/ 2>/dev/null); do
      here=${here%/}
      printf '<tr>'
      # A night that was cut off, or a folder of something else: who looks for it finds it here.
      for what in when commit seed; do
        printf '<td>%s' "$([ -f "$here/$what" ] && escaped <"$here/$what" || escaped <<<"unreadable: ${here#runs/}/$what")"
      done
      for step in "${steps[@]}"; do
        outcome=$(cat "$here/$step.outcome" 2>/dev/null || echo "not played")
        printf '<td class="%s">' "${outcome%% *}"
        if [ -f "$here/$step.txt" ]; then
          printf '<a href="%s">%s</a>' "$(escaped <<<"${here#runs/}/$step.txt")" "$(escaped <<<"$outcome")"
        else
          escaped <<<"$outcome"
        fi
      done
      echo '</tr>'
    done
    echo '</table></html>'
  } >runs/index.html.new
  mv runs/index.html.new runs/index.html
}

simulator() { "$cargo" run --quiet --locked --release -p simulator -- "$@"; }

sweep() { simulator sweep --runs "${SWEEP_RUNS:-20000}" --seed "$seed" --json "$folder/$1.json" --keep "$folder/$1" "${@:2}"; }

# reach: what neither sweeps nor stories have reached is listed as unreachable, and no sweep has reached anything that is.
reach() {
  local more status results=("$folder/sweep.json" "$folder/stories.json")
  simulator run --json "$folder/stories.json" scenarios || return
  for more in 1 2 3; do
    status=0
    simulator coverage --strict "${results[@]}" || status=$?
    # Any other status than 1 says that it could not be asked or that the list is wrong, against which no sweep helps.
    [ "$status" -eq 1 ] || return "$status"
    # 10#: what begins with 0 is decimal too.
    simulator sweep --runs "${SWEEP_RUNS:-20000}" --seed $((10#$seed + more)) --json "$folder/more-$more.json" --keep "$folder/more-$more" || return
    results+=("$folder/more-$more.json")
  done
  simulator coverage --strict "${results[@]}"
}

play() {
  case "$1" in
    sweep) sweep sweep && reach ;;
    sweep-turmoil) sweep sweep-turmoil --engine turmoil ;;
    mutations) SEED=$seed scripts/mutations.sh ;;
    parity) make --no-print-directory parity && cp bin/parity.md bin/parity.json "$folder/" ;;
    fidelity) make --no-print-directory fidelity ;;
    # Fails where a cell of ours is worse than in the results that COMPARISON.md was made from.
    matrix)
      simulator matrix --subjects netdrift --json "$folder/matrix.json" --against simulator/comparison.json
      ;;
    soak) DURATION=${SOAK:-600} make --no-print-directory soak ;;
    fuzz) SEED=$seed scripts/fuzz.sh ;;
  esac
}

mkdir -p runs
if [ "${1:-}" = page ]; then
  page
  exit
fi
commit=$(git rev-parse --short=12 HEAD)
# What is not committed can't be played again from the commit.
[ -z "$(git status --porcelain)" ] || commit=$commit-changed
folder=runs/$commit-$seed
wanted=("$@")
[ "$#" -gt 0 ] || wanted=("${steps[@]}")
for step in "${wanted[@]}"; do
  case " ${steps[*]} " in *" $step "*) ;; *) echo "nightly: no step '$step'; there are: ${steps[*]}" >&2; exit 64 ;; esac
done
mkdir -p "$folder"
date -u +%Y-%m-%dT%H:%MZ >"$folder/when"
echo "$commit" >"$folder/commit"
echo "$seed" >"$folder/seed"
failed=0
for step in "${wanted[@]}"; do
  echo "$step: seed $seed, commit $commit"
  begun=$SECONDS status=0
  play "$step" >"$folder/$step.txt" 2>&1 || status=$?
  took=$((SECONDS - begun))
  case $status in
    0) outcome="passed in $took s" ;;
    77) outcome="skipped: $(tail -n 1 "$folder/$step.txt")" ;;
    *)
      outcome="failed with $status in $took s"
      failed=1
      ;;
  esac
  echo "$outcome" >"$folder/$step.outcome"
  echo "$step: $outcome ($folder/$step.txt)"
  page
done
exit "$failed"
