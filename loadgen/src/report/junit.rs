//! For CI: a test case for each verdict.

use std::fmt::Write;

use super::load_report::LoadReport;
use super::html::escape;

/// The verdicts as JUnit's XML.
pub fn render(report: &LoadReport) -> String {
    let failures = report.verdicts.iter().filter(|verdict| !verdict.passed).count();
    let (tests, seconds) = (report.verdicts.len(), report.seconds);
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts = format!("tests=\"{tests}\" failures=\"{failures}\" time=\"{seconds:.3}\"");
    // Writing to a String can't fail.
    let _ = writeln!(xml, "<testsuites {counts}>\n  <testsuite name=\"loadgen\" {counts}>");
    for verdict in &report.verdicts {
        let (name, text) = (escape(&verdict.name), escape(&verdict.text));
        let _ = if verdict.passed {
            writeln!(xml, "    <testcase classname=\"loadgen\" name=\"{name}\"/>")
        } else {
            writeln!(
                xml,
                "    <testcase classname=\"loadgen\" name=\"{name}\"><failure message=\"{text}\"/></testcase>"
            )
        };
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}
