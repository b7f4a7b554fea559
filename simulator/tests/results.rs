//! Tests that the binary puts shards of the same runs together, and names what does not fit.

#![expect(clippy::unwrap_used, reason = "a test that can't write its files fails")]

use std::path::Path;
use std::process::{Command, Output};

use simulator::explore::coverage::{catalogue, why_unreachable};

/// In half of the runs a fault strikes, so that two shards show together what one alone may not.
const STORY: &str = r#"{"name": "x", "story": "x", "duration": "2s",
    "upstreams": [{"name": "a", "plan": {"faults": [{"fault": "status-503", "when": {"probability": 0.5}}]}}, {"name": "b"}],
    "clients": [{"name": "c", "do": "connect", "requests": 2}],
    "expect": [{"what": "sometimes", "event": "request", "with": "status-503"}]}"#;

fn simulator(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simulator")).current_dir(folder).args(args).output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn shards_of_runs_are_merged_and_what_does_not_fit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::write(here.join("x.json"), STORY).unwrap();
    for (shard, file) in [("1/2", "1.json"), ("2/2", "2.json")] {
        let ran = simulator(here, &["run", "x.json", "--seeds", "1..6", "--shard", shard, "--json", file]);
        let (code, text) = said(&ran);
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("3 runs, 0 failed, 0 refused"), "{text}");
    }
    let (code, text) = said(&simulator(here, &["merge", "2.json", "1.json", "--json", "all.json"]));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("6 runs, 0 failed") && text.contains("never event: "), "{text}");
    let (code, text) = said(&simulator(here, &["coverage", "all.json"]));
    assert!(code == Some(0) && text.contains("things that can happen"), "{text}");
    let (code, text) = said(&simulator(here, &["merge", "1.json"]));
    assert_eq!((code, text.as_str()), (Some(65), "shard 2/2 is missing\n"));
    let others = ["run", "x.json", "--seeds", "7..12", "--shard", "2/2", "--json", "others.json"];
    assert_eq!(said(&simulator(here, &others)).0, Some(0));
    let (code, text) = said(&simulator(here, &["merge", "1.json", "others.json"]));
    let named = "others.json: planned: other scenarios, seeds or limits than in 1.json\n";
    assert_eq!((code, text.as_str()), (Some(65), named));
    let whole = std::fs::read_to_string(here.join("2.json")).unwrap();
    for (field, problem) in [
        ("\"runs\": 99,", "2.json: runs: is 99, but there are 3 reports"),
        ("\"x\": 1, \"runs\": 3,", "unknown field `x`"),
    ] {
        std::fs::write(here.join("2.json"), whole.replacen("\"runs\": 3,", field, 1)).unwrap();
        let (code, text) = said(&simulator(here, &["merge", "1.json", "2.json"]));
        assert!(code == Some(65) && text.contains(problem), "{text}");
    }
    std::fs::write(here.join("2.json"), &whole[..whole.len() - 20]).unwrap();
    let (code, text) = said(&simulator(here, &["merge", "1.json", "2.json", "gone.json"]));
    assert_eq!(code, Some(65), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("2.json: ") && lines[0].contains("at line"), "{text}");
    assert!(lines[1].starts_with("gone.json: "), "{text}");
}

#[test]
fn what_was_not_reached_and_is_not_listed_fails_only_if_that_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::write(here.join("x.json"), STORY).unwrap();
    assert_eq!(said(&simulator(here, &["run", "x.json", "--json", "run.json"])).0, Some(0));
    assert_eq!(said(&simulator(here, &["coverage", "run.json"])).0, Some(0));
    let (code, text) = said(&simulator(here, &["coverage", "--strict", "run.json"]));
    assert!(code == Some(1) && text.contains(" not reached and not listed as unreachable, 0 listed and "), "{text}");
    let whole: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(here.join("run.json")).unwrap()).unwrap();
    let write = |file: &str, source: &str, reached: &dyn Fn(&str) -> bool| {
        let mut results = whole.clone();
        results["source"] = source.into();
        let items = catalogue().into_iter().filter(|item| reached(item)).map(|item| (item, 1.into()));
        results["reached"] = serde_json::Value::Object(items.collect());
        std::fs::write(here.join(file), results.to_string()).unwrap();
    };
    let listed = |item: &str| why_unreachable(&item.to_owned()).is_some();
    // What the sweep lacks, a story has, and what is listed too.
    write("sweep.json", "sweep", &|item| !listed(item) && item != "event/ejected");
    write("stories.json", "run", &|item| listed(item) || item == "event/ejected");
    let (code, text) = said(&simulator(here, &["coverage", "--strict", "sweep.json", "stories.json"]));
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = said(&simulator(here, &["coverage", "--strict", "sweep.json"]));
    assert!(code == Some(1) && text.contains("1 not reached and not listed as unreachable, 0 listed"), "{text}");
    write("sweep.json", "sweep", &|item| !listed(item) || item == "action/loss");
    let (code, text) = said(&simulator(here, &["coverage", "--strict", "sweep.json"]));
    assert!(code == Some(65) && text.contains("0 not reached and not listed as unreachable, 1 listed"), "{text}");
    assert!(text.contains("action/loss was reached, though it is listed as unreachable"), "{text}");
}

#[test]
fn what_must_sometimes_come_is_judged_over_all_shards() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::write(here.join("x.json"), STORY.replace("status-503\"}]}", "never-so\"}]}")).unwrap();
    for (shard, file) in [("1/2", "1.json"), ("2/2", "2.json")] {
        let ran = simulator(here, &["run", "x.json", "--seeds", "1..2", "--shard", shard, "--json", file]);
        assert_eq!(said(&ran).0, Some(0), "one shard alone can't tell");
    }
    let (code, text) = said(&simulator(here, &["merge", "1.json", "2.json"]));
    assert!(code == Some(1) && text.contains("violated    x: expect[0]: in none of 2 runs"), "{text}");
}

/// The images that the Makefile builds on one that has a shell. The others are on an empty one.
fn images_with_a_shell() -> Vec<String> {
    let makefile = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Makefile")).unwrap();
    let name = makefile.lines().find_map(|line| line.strip_prefix("IMAGE ?= ")).unwrap();
    let builds = makefile.lines().filter(|line| line.contains("$(docker_build)$(SHELL_IMAGE)"));
    let tags = builds.map(|line| line.split_once(" -t ").unwrap().1.split(' ').next().unwrap());
    tags.map(|tag| tag.replace("$(IMAGE)", name)).collect()
}

#[test]
fn the_pods_of_the_shipped_job_play_the_whole_between_them() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/sweep-job.yaml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let behind = |text: &str| manifest.split_once(text).unwrap().1.lines().next().unwrap().to_owned();
    assert_eq!(behind("SHARDS, value: ").trim_matches(['"', ' ', '}']), behind("completions: "));
    assert_eq!(behind("maxFailedIndexes: "), behind("completions: "), "one part that finds something stops no other");
    assert!(
        images_with_a_shell().contains(&behind("  image: ")),
        "{} is none of {:?}",
        behind("  image: "),
        images_with_a_shell()
    );
    let command = format!("exec simulator {}", behind("- exec simulator "));
    let folder = tempfile::tempdir().unwrap();
    let binaries = Path::new(env!("CARGO_BIN_EXE_simulator")).parent().unwrap().to_owned();
    let path = std::env::join_paths(
        std::iter::once(binaries).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    for index in ["0", "1"] {
        let pod = Command::new("sh")
            .args(["-c", &command])
            .env("PATH", path.as_ref().unwrap())
            .envs([("JOB_COMPLETION_INDEX", index), ("SHARDS", "2"), ("RUNS", "3"), ("SEED", "1")])
            .env("RESULTS", folder.path())
            .output();
        let (code, text) = said(&pod.unwrap());
        assert_eq!(code, Some(0), "{text}");
    }
    let (code, text) = said(&simulator(folder.path(), &["merge", "0.json", "1.json"]));
    assert!(code == Some(0) && text.contains("3 runs, 0 failed"), "{text}");
}

#[test]
fn a_pipeline_is_told_which_lines_do_not_hold_and_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::write(here.join("x.json"), STORY).unwrap();
    let (code, text) = said(&simulator(here, &["run", "x.json", "--annotations", "github", "--json", "base.json"]));
    assert!(code == Some(0) && !text.contains("::error"), "{text}");
    std::fs::write(here.join("x.json"), STORY.replace("status-503\"}]}", "never-so\"}]}")).unwrap();
    let run =
        ["run", "x.json", "--annotations", "github", "--base", "base.json", "--timelines", "t", "--markdown", "m.md"];
    let (code, text) = said(&simulator(here, &run));
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("::error file=x.json,line=4,title=x violated%2C seed 1::expect[0]: in none of 1 runs"),
        "{text}"
    );
    assert!(text.contains("new failures: x seed 1\n"), "{text}");
    assert!(
        std::fs::read_to_string(here.join("m.md"))
            .unwrap()
            .starts_with("**1 new failures**\n\n- new failures: x, seed 1\n")
    );
    let engine = ["run", "x.json", "--engine", "turmoil", "--base", "base.json"];
    let (code, text) = said(&simulator(here, &engine));
    assert_eq!((code, text.as_str()), (Some(65), "base.json: engine: is turmoil-net, but turmoil plays now\n"));
    let base = std::fs::read_to_string(here.join("base.json")).unwrap();
    let of_another = base.replace(r#""subject": "netdrift""#, r#""subject": "haproxy""#);
    assert!(of_another != base);
    std::fs::write(here.join("base.json"), of_another).unwrap();
    let (code, text) = said(&simulator(here, &["run", "x.json", "--base", "base.json"]));
    assert_eq!((code, text.as_str()), (Some(65), "base.json: subject: is haproxy, but netdrift plays now\n"));
    std::fs::write(here.join("x.json"), STORY.replace("\"story\": \"x\"", "\"story\": 3")).unwrap();
    let (code, text) = said(&simulator(here, &["run", "x.json", "--annotations", "github"]));
    assert_eq!(code, Some(65), "{text}");
    assert!(text.contains("::error file=x.json,line=1,title=wrong scenario::story: must be a string"), "{text}");
}
