//! Writes the verdicts as JUnit XML, with a test case for each, for CI.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::load_report::LoadReport;
use crate::verdict::Finding;

/// Renders the verdicts.
pub fn render(report: &LoadReport) -> String {
    let time = std::time::Duration::try_from_secs_f64(report.seconds).unwrap_or_default();
    let mut suite = TestSuite::new("loadgen");
    suite.set_time(time);
    for verdict in &report.verdicts {
        let status = if verdict.passed() {
            TestCaseStatus::success()
        } else {
            // An error, in JUnit's words: the test could not be made.
            let not_made = verdict.finding == Finding::NotJudgeable;
            let kind = if not_made { NonSuccessKind::Error } else { NonSuccessKind::Failure };
            let mut status = TestCaseStatus::non_success(kind);
            status.set_message(verdict.text.as_str());
            status
        };
        let mut case = TestCase::new(verdict.name.as_str(), status);
        case.set_classname("loadgen");
        suite.add_test_case(case);
    }
    let mut junit = Report::new("loadgen");
    junit.set_time(time).add_test_suite(suite);
    junit.to_string().expect("text is always written to memory")
}
