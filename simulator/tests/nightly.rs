//! Tests what the nightly run does around its steps: its page, and how often it sweeps.

#![expect(clippy::unwrap_used, reason = "a test that can't write its files fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A folder with nothing but a copy of the script.
fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/nightly.sh");
    fs::create_dir(place.path().join("scripts")).unwrap();
    fs::copy(script, place.path().join("scripts/nightly.sh")).unwrap();
    place
}

fn nightly(place: &TempDir, step: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["scripts/nightly.sh", step]).current_dir(place.path());
    command
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn the_page_has_a_row_for_each_folder_and_says_what_it_can_not_read() {
    let place = place();
    let runs = place.path().join("runs");
    for (name, files) in [("abc-1", &["when", "commit", "seed"][..]), ("cut-off", &["commit"])] {
        fs::create_dir_all(runs.join(name)).unwrap();
        for file in files {
            fs::write(runs.join(name).join(file), format!("the {file}\n")).unwrap();
        }
    }
    let made = nightly(&place, "page").output().unwrap();
    assert_eq!(said(&made), (Some(0), String::new()));
    let page = fs::read_to_string(runs.join("index.html")).unwrap();
    assert_eq!(page.matches("<tr><td>").count(), 2, "{page}");
    for cells in [
        "<td>the when<td>the commit<td>the seed",
        "<td>unreadable: cut-off/when<td>the commit<td>unreadable: cut-off/seed",
    ] {
        assert!(page.contains(cells), "{cells}: {page}");
    }
}

/// Is asked in the simulator's place, and writes down for what. `coverage` ends with $CODE the first $TIMES times.
const CARGO: &str = r#"() {
    while [ "$1" != -- ]; do shift; done
    shift
    echo "$*" >>asked
    case $1 in
      coverage) [ "$(grep -c ^coverage asked)" -gt "$TIMES" ] || return "$CODE" ;;
      sweep) [[ $* != *"--seed $BROKEN "* ]] ;;
    esac
}"#;

/// Plays the step `sweep` from seed 8. Returns the script's exit code, and what the simulator was asked for.
fn sweep(times: &str, code: &str, broken: &str) -> (Option<i32>, Vec<String>) {
    let place = place();
    let mut script = nightly(&place, "sweep");
    script.envs([("TIMES", times), ("CODE", code), ("BROKEN", broken), ("SEED", "08"), ("SWEEP_RUNS", "7")]);
    // Functions that the script's shell takes from its environment: they go before the programs of these names.
    script.envs([("CARGO", "cargo"), ("BASH_FUNC_cargo%%", CARGO), ("BASH_FUNC_git%%", "() { echo abc; }")]);
    let (code, text) = said(&script.output().unwrap());
    let asked = fs::read_to_string(place.path().join("asked")).unwrap_or_else(|error| panic!("{error}: {text}"));
    (code, asked.lines().map(|line| line.replace("runs/abc-changed-08/", "")).collect())
}

/// What chance left out, the next seeds may reach: all that was swept counts then.
#[test]
fn what_is_never_reached_is_swept_for_by_the_next_seeds_up_to_three_times() {
    let all = [
        "sweep --runs 7 --seed 08 --json sweep.json --keep sweep",
        "run --json stories.json scenarios",
        "coverage --strict sweep.json stories.json",
        "sweep --runs 7 --seed 9 --json more-1.json --keep more-1",
        "coverage --strict sweep.json stories.json more-1.json",
        "sweep --runs 7 --seed 10 --json more-2.json --keep more-2",
        "coverage --strict sweep.json stories.json more-1.json more-2.json",
        "sweep --runs 7 --seed 11 --json more-3.json --keep more-3",
        "coverage --strict sweep.json stories.json more-1.json more-2.json more-3.json",
    ];
    let first = |lines: usize| all[..lines].iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
    for (times, code, asked) in [("0", 0, 3), ("2", 0, 7), ("3", 0, 9), ("4", 1, 9)] {
        assert_eq!(sweep(times, "1", "none"), (Some(code), first(asked)), "not all is reached {times} times");
    }
    assert_eq!(sweep("4", "1", "9"), (Some(1), first(4)), "a sweep that fails is the last");
    assert_eq!(sweep("4", "65", "none"), (Some(1), first(3)), "no sweep helps against what can't be read");
}
