//! Checks that the ways to break the proxy on purpose (`simulator/mutations/`) fit the files that they change, each alone
//! and all together, and that they change nothing while they are switched off.

use std::collections::BTreeMap;

use super::{files, hold, read, report, rust_files};

/// The text of each file, by its path.
type Tree = BTreeMap<String, String>;

/// Adds the lines of a patch to `tree`. Complains of what does not fit, and of what would show while it is switched off.
fn apply(path: &str, patch: &str, tree: &mut Tree) -> Vec<String> {
    let file = patch.lines().find_map(|line| line.strip_prefix("+++ b/")).unwrap_or_default();
    let Some(text) = tree.get_mut(file) else { return vec![format!("{path}: there is no {file}")] };
    let name = path.rsplit('/').next().and_then(|name| name.strip_suffix(".patch")).unwrap_or_default();
    let mut complaints = Vec::new();
    for hunk in patch.split("\n@@ ").skip(1) {
        let (head, lines) = hunk.split_once('\n').unwrap_or_default();
        let of = |kinds: &[char]| -> String {
            lines.lines().filter_map(|line| line.strip_prefix(kinds)).flat_map(|line| [line, "\n"]).collect()
        };
        if !of(&['-']).is_empty() {
            complaints.push(format!("{path}: it takes lines away, whatever its switch says: {head}"));
        }
        if !of(&['+']).contains(&format!("crate::mutated(\"{name}\")")) {
            complaints.push(format!("{path}: it does not ask for crate::mutated(\"{name}\"): {head}"));
        }
        let around = of(&[' ']);
        if text.matches(&around).count() == 1 {
            *text = text.replacen(&around, &of(&[' ', '+']), 1);
        } else {
            complaints.push(format!("{path}: {file} has the lines around not just once: {head}"));
        }
    }
    complaints
}

#[test]
fn every_mutation_applies_alone_and_behind_the_others() {
    let patch = "--- a/f\n+++ b/f\n@@ -1,2 +1,3 @@ x\n a\n+crate::mutated(\"m\")\n b\n";
    let tree = |text: &str| Tree::from([("f".to_owned(), text.to_owned())]);
    let mut sound = tree("a\nb\n");
    assert_eq!(apply("m.patch", patch, &mut sound), [""; 0]);
    assert_eq!(sound, tree("a\ncrate::mutated(\"m\")\nb\n"));
    assert_eq!(apply("m.patch", patch, &mut sound).len(), 1, "it was applied before");
    assert_eq!(apply("m.patch", patch, &mut tree("a\nb\na\nb\n")).len(), 1);
    assert_eq!(apply("m.patch", &patch.replace(" b\n", "-c\n b\n"), &mut tree("a\nb\n")).len(), 1);
    assert_eq!(apply("n.patch", patch, &mut tree("a\nb\n")).len(), 1);
    assert_eq!(apply("m.patch", patch, &mut Tree::new()), ["m.patch: there is no f"]);

    let tree: Tree = rust_files("proxy/src").into_iter().map(|path| (path.clone(), read(&path))).collect();
    let patches: Vec<_> = files("simulator/mutations").into_iter().filter(|path| path.ends_with(".patch")).collect();
    hold(&patches, |path, patch| apply(path, patch, &mut tree.clone()));
    let mut tree = tree;
    report(patches.iter().flat_map(|path| apply(path, &read(path), &mut tree)).collect());
}
