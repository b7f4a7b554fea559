//! Writes what came of the requirements of the RFCs.

use std::fmt::Write;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::conformance::{Level, Outcome, Results};

/// As a table: a line for each requirement, with what was seen where it is broken, and a sum.
pub fn conformance(results: &Results) -> String {
    let mut text = String::new();
    for (requirement, outcome) in &results.outcomes {
        let (word, more) = match outcome {
            Outcome::Holds => ("holds", None),
            Outcome::Broken(seen) => ("BROKEN", Some(seen)),
            Outcome::NotChecked(why) => ("not checked", Some(why)),
        };
        let _ = writeln!(
            text,
            "{:<11} {:<6} {:<11} {}",
            requirement.section,
            requirement.level.as_str(),
            word,
            requirement.text
        );
        if let Some(more) = more {
            let _ = writeln!(text, "{:30} {}", "", one_line(more));
        }
        let _ = writeln!(text, "{:30} netdrift's own test: {}", "", requirement.held_by);
    }
    let count = |level| {
        let broken = results
            .outcomes
            .iter()
            .filter(|(one, outcome)| one.level == level && matches!(outcome, Outcome::Broken(_)));
        broken.count()
    };
    let (must, should) = (count(Level::Must), count(Level::Should));
    let all = results.outcomes.len();
    let _ =
        writeln!(text, "{}: {all} requirements, broken: {must} of level MUST, {should} of level SHOULD", results.title);
    text
}

/// A head in one line, and without what a terminal could take for an order.
fn one_line(text: &str) -> String {
    text.trim_end().escape_debug().to_string()
}

/// As JUnit's XML: a case for each requirement. One that is broken and does not count is skipped.
pub fn conformance_junit(results: &Results, strict: bool) -> String {
    let mut suite = TestSuite::new(format!("conformance of {}", results.title));
    for (requirement, outcome) in &results.outcomes {
        let skipped = |why: &str| {
            let mut status = TestCaseStatus::skipped();
            status.set_message(one_line(why));
            status
        };
        let status = match outcome {
            Outcome::Holds => TestCaseStatus::success(),
            Outcome::NotChecked(why) => skipped(why),
            Outcome::Broken(seen) if requirement.level.counts(strict) => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_type(requirement.level.as_str()).set_message(one_line(seen));
                status
            }
            Outcome::Broken(seen) => skipped(seen),
        };
        let mut case = TestCase::new(requirement.text, status);
        case.set_classname(requirement.section);
        suite.add_test_case(case);
    }
    let mut all = Report::new("conformance");
    all.add_test_suite(suite);
    all.to_string().expect("XML can always be written to a text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::all;

    #[test]
    fn what_is_broken_is_told_with_what_was_seen() {
        let of = |level| all().find(|one| one.level == level).unwrap();
        let outcomes = vec![
            (of(Level::Must), Outcome::Broken("HTTP/1.1 200\r\n\u{1b}[2J".to_owned())),
            (of(Level::Should), Outcome::Broken("so".to_owned())),
            (of(Level::Must), Outcome::NotChecked("it lacks x".to_owned())),
            (of(Level::Must), Outcome::Holds),
        ];
        let results = Results { title: "X".to_owned(), outcomes };
        let text = conformance(&results);
        assert!(text.contains(r"HTTP/1.1 200\r\n\u{1b}[2J"), "{text}");
        assert!(text.ends_with("X: 4 requirements, broken: 1 of level MUST, 1 of level SHOULD\n"), "{text}");
        let counts = |strict| {
            let xml = conformance_junit(&results, strict);
            (xml.matches("<failure").count(), xml.matches("<skipped").count())
        };
        assert_eq!((counts(false), counts(true)), ((1, 2), (2, 1)));
    }
}
