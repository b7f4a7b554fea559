//! Tests that README.md names every law with its kind, in the order of reports.

use simulator::judge::LAWS;

#[test]
fn the_readme_has_a_row_for_each_law() {
    let rows = include_str!("../README.md").lines().skip_while(|line| *line != "| Name | Kind | Law |").skip(2);
    let named =
        rows.map_while(|row| Some(row.strip_prefix("| ")?.split(" | ").take(2).collect::<Vec<_>>().join(" | ")));
    let laws = LAWS.iter().map(|law| format!("{} | {}", law.name, law.kind().as_str()));
    assert_eq!(named.collect::<Vec<_>>(), laws.collect::<Vec<_>>());
}
