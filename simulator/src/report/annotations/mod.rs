//! What does not hold, as annotations of the scenario's file in a pipeline.

mod place;

use std::fmt::Write;
use std::path::Path;

use proxy::config::Problems;

use self::place::line_of;
use super::text::replay_command;
use crate::judge::{RunReport, Verdict};

/// Workflow commands of GitHub that mark the lines of `file` (whose text is `text`) which `report` is about. Empty where all holds.
///
/// What an expectation found stands at the expectation, and what a law found at the top.
pub fn github(report: &RunReport, file: &Path, text: &str) -> String {
    if report.verdict == Verdict::Passed {
        return String::new();
    }
    let again = replay_command(report, file);
    let title = format!("{} {}, seed {}", report.scenario, report.verdict.as_str(), report.seed);
    let one = |of: &str, what: &str| command(file, line_of(text, of), &title, &format!("{of}: {what}\n{again}"));
    report.violations.iter().map(|violation| one(&violation.of, &violation.text)).collect()
}

/// The same for what is wrong with the scenario in `file` itself.
pub fn github_problems(problems: &Problems, file: &Path, text: &str) -> String {
    let one = |at: &str, what: &str| command(file, line_of(text, at), "wrong scenario", what);
    problems.iter().map(|problem| one(&problem.at, &problem.to_string())).collect()
}

/// A workflow command, on a line of its own (GitHub, "Workflow commands", setting an error message).
fn command(file: &Path, line: usize, title: &str, text: &str) -> String {
    let mut command = String::new();
    let (file, title) = (property(&file.display().to_string()), property(title));
    let _ = writeln!(command, "::error file={file},line={line},title={title}::{}", data(text));
    command
}

/// A command ends with its line, so a line of the text is written otherwise.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property ends with a comma or two colons.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::run;
    use crate::scenario;

    #[test]
    fn an_expectation_that_does_not_hold_is_marked_in_its_line() {
        let text = "{ \"name\": \"x\", \"story\": \"x\", \"duration\": \"1s\", \"upstreams\": [{\"name\": \"a\"}],
            \"clients\": [{\"name\": \"c\", \"do\": \"connect\", \"requests\": 1}],
            \"expect\": [{\"what\": \"requests\", \"outcome\": \"ok\", \"exactly\": 1},
            {\"what\": \"requests\", \"outcome\": \"ok\", \"exactly\": 2}] }";
        let report = run(&scenario::parse(text).unwrap(), 7);
        let marked = github(&report, Path::new("a,b/x.json"), text);
        assert!(
            marked.starts_with("::error file=a%2Cb/x.json,line=4,title=x violated%2C seed 7::expect[1]: "),
            "{marked}"
        );
        assert_eq!(marked.lines().count(), 1, "{marked}");
        assert!(marked.contains("%0Asimulator replay "), "{marked}");
        let right = text.replace("\"exactly\": 2", "\"exactly\": 1");
        assert_eq!(github(&run(&scenario::parse(&right).unwrap(), 7), Path::new("x"), &right), "");
    }

    #[test]
    fn what_a_file_says_can_not_forge_a_command() {
        assert_eq!(data("a\n::error::b%0A\r"), "a%0A::error::b%250A%0D");
        assert_eq!(property("x,line=1::y"), "x%2Cline=1%3A%3Ay");
    }
}
