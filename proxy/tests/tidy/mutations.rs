//! Checks that the ways to break the proxy on purpose (`simulator/mutations/`) fit the files that they change.

use std::fs;

use super::{files, hold, root};

/// The changes of a patch whose old lines the file that it names does not have.
fn stale(path: &str, patch: &str, file: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let name = patch.lines().find_map(|line| line.strip_prefix("+++ b/")).unwrap_or_default();
    let Some(text) = file(name) else { return vec![format!("{path}: there is no {name}")] };
    let hunks = patch.split("\n@@ ").skip(1).filter(|hunk| {
        let old: String = hunk
            .lines()
            .skip(1)
            .filter(|line| line.starts_with([' ', '-']))
            .fold(String::new(), |old, line| old + &line[1..] + "\n");
        !text.contains(&old)
    });
    hunks.map(|hunk| format!("{path}: {name} has changed: {}", hunk.lines().next().unwrap_or_default())).collect()
}

#[test]
fn every_mutation_applies() {
    let patch = "--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@ x\n a\n-b\n+c\n";
    assert_eq!(stale("p", patch, |_| Some("a\nb\n".to_owned())), [""; 0]);
    assert_eq!(stale("p", patch, |_| Some("a\nd\n".to_owned())).len(), 1);
    assert_eq!(stale("p", patch, |_| None), ["p: there is no f"]);
    let patches = files("simulator/mutations");
    hold(&patches, |path, patch| stale(path, patch, |name| fs::read_to_string(root().join(name)).ok()));
}
