use std::fmt::Write;

use super::escape;
use crate::run::{Report, Verdict};

/// As JUnit's XML: one suite, one case a run.
pub fn junit(reports: &[Report]) -> String {
    let failures = reports.iter().filter(|report| report.verdict != Verdict::Passed).count();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(xml, "<testsuite name=\"simulator\" tests=\"{}\" failures=\"{failures}\">", reports.len());
    for report in reports {
        let seconds = report.virtual_ms / 1000;
        let (name, seed, engine) = (escape(&report.scenario), report.seed, report.engine);
        let _ = write!(xml, "  <testcase classname=\"{name}\" name=\"seed {seed} on {engine}\" time=\"{seconds}\"");
        if report.verdict == Verdict::Passed {
            xml.push_str("/>\n");
            continue;
        }
        xml.push_str(">\n");
        for violation in &report.violations {
            let (of, text) = (escape(&violation.of), escape(&violation.text));
            let _ = writeln!(xml, "    <failure type=\"{of}\" message=\"{text}\"/>");
        }
        xml.push_str("  </testcase>\n");
    }
    xml.push_str("</testsuite>\n");
    xml
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::Violation;
    use crate::trace::Trace;

    #[test]
    fn markup_in_a_text_is_escaped() {
        let violations = vec![Violation { of: "a<b".to_owned(), text: "\"x\" & \u{1}".to_owned(), lines: Vec::new() }];
        let report = Report {
            scenario: "s".to_owned(),
            engine: Default::default(),
            seed: 1,
            verdict: Verdict::Violated,
            digest: String::new(),
            requests: 0,
            virtual_ms: 0,
            unseen: Vec::new(),
            violations,
            trace: Trace::default(),
        };
        let xml = junit(&[report]);
        assert!(xml.contains(r#"<failure type="a&lt;b" message="&quot;x&quot; &amp; "#), "{xml}");
        assert!(xml.contains(r#"name="seed 1 on turmoil-net""#), "{xml}");
        assert!(xml.contains(r#"tests="1" failures="1""#) && !xml.contains('\u{1}'), "{xml}");
    }
}
