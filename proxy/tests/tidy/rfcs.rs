//! Checks that the tests and files exist by which ARCHITECTURE.md says that a demand of an RFC is held.

use super::{read, report, rust_files};

/// Whether `name` is as long as the name of a test here is, and no setting or word of the log.
fn is_test(name: &str) -> bool {
    name.matches('_').count() > 2 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// What `section` names in code and is neither a test in `sources` nor the end of one of the `paths`.
fn unknown(section: &str, sources: &str, paths: &[String]) -> Vec<String> {
    let in_code = section.split('`').skip(1).step_by(2);
    let missing = in_code.filter(|name| {
        (is_test(name) && !sources.contains(&format!("fn {name}()")))
            || (name.ends_with(".rs") && !paths.iter().any(|path| path.ends_with(*name)))
    });
    missing.map(|name| format!("ARCHITECTURE.md, \"What the RFCs demand of a proxy\": there is no `{name}`")).collect()
}

#[test]
fn what_holds_a_demand_is_there() {
    let sample = unknown(
        "| `a_test_that_is` | `a_test_that_is_not` `b/c.rs` `d.rs` `x_y`",
        "fn a_test_that_is() {",
        &["a/b/c.rs".into()],
    );
    assert_eq!(sample.len(), 2, "{sample:?}");
    let document = read("ARCHITECTURE.md");
    let section = document.split("\n## ").find(|section| section.starts_with("What the RFCs demand")).unwrap();
    let paths = rust_files("proxy");
    let sources: String = paths.iter().map(|path| read(path)).collect();
    assert!(section.split('`').filter(|name| is_test(name)).count() > 60, "the names are not found");
    report(unknown(section, &sources, &paths));
}
