//! Tests that the examples do what they say.

#[path = "../examples/custom_law.rs"]
mod custom_law;

#[test]
fn a_law_of_ones_own_finds_what_the_laws_of_the_crate_allow() {
    let report = custom_law::report();
    let found: Vec<&str> = report.violations.iter().map(|one| one.text.as_str()).collect();
    assert_eq!(report.requests, 10);
    assert_eq!(found.len(), 5, "every second request goes to the slow upstream: {found:?}");
    assert!(
        report.violations.iter().all(|one| one.of == "prompt" && one.text.ends_with(" waited for slow")),
        "{found:?}"
    );
    custom_law::main();
}
