//! Writes reports of runs as JUnit XML, for pipelines.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::judge::{RunReport, Verdict};

/// As JUnit's XML: one suite with a case for each run.
pub fn junit(reports: &[RunReport]) -> String {
    let mut suite = TestSuite::new("simulator");
    for report in reports {
        let status = match report.verdict {
            Verdict::Passed => TestCaseStatus::success(),
            Verdict::Unsupported => skipped(report),
            _ => failure(report),
        };
        let mut case = TestCase::new(format!("seed {} on {}", report.seed, report.engine), status);
        case.set_classname(report.scenario.as_str());
        case.set_time(Duration::from_millis(report.virtual_ms));
        suite.add_test_case(case);
    }
    let mut all = Report::new("simulator");
    all.add_test_suite(suite);
    all.to_string().expect("XML can always be written to a text")
}

/// What an engine can't play is neither a success nor a failure.
fn skipped(report: &RunReport) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    let why = report.violations.iter().map(|one| one.text.as_str());
    status.set_message(why.collect::<Vec<_>>().join("; "));
    status
}

/// A case has room for one failure: the first violation, and all of them in the text below it.
fn failure(report: &RunReport) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    if let Some(first) = report.violations.first() {
        status.set_type(first.of.as_str()).set_message(first.text.as_str());
    }
    let all = report.violations.iter().map(|one| format!("{}: {}", one.of, one.text));
    status.set_description(all.collect::<Vec<_>>().join("\n"));
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Violation;
    use crate::record::Trace;

    #[test]
    fn each_run_is_a_case_and_one_that_fails_says_all_that_does_not_hold() {
        let violation =
            |of: &str, text: &str| Violation { of: of.to_owned(), text: text.to_owned(), lines: Vec::new() };
        let passed = RunReport {
            scenario: "s".to_owned(),
            engine: Default::default(),
            subject: "netdrift".to_owned(),
            seed: 1,
            verdict: Verdict::Passed,
            digest: String::new(),
            requests: 0,
            virtual_ms: 1500,
            unseen: Vec::new(),
            violations: Vec::new(),
            laws: Vec::new(),
            skipped: Vec::new(),
            trace: Trace::default(),
        };
        let violations = vec![violation("a<b", "\"x\" & \u{1}"), violation("drain", "never")];
        let failed = RunReport { verdict: Verdict::Violated, violations, ..passed.clone() };
        let violations = vec![violation("unsupported", "loss: no")];
        let refused = RunReport { verdict: Verdict::Unsupported, violations, ..passed.clone() };
        let xml = junit(&[passed, failed, refused]);
        assert!(xml.contains(r#"skipped="1""#) && xml.contains(r#"<skipped message="loss: no""#), "{xml}");
        assert!(xml.contains(r#"name="simulator" tests="3""#) && xml.contains(r#"failures="1""#), "{xml}");
        assert!(xml.contains(r#"<testcase name="seed 1 on turmoil-net" classname="s" time="1.500""#), "{xml}");
        assert!(xml.contains(r#"message="&quot;x&quot; &amp; " type="a&lt;b""#), "{xml}");
        assert!(xml.contains("drain: never") && !xml.contains('\u{1}'), "{xml}");
    }
}
