//! Writes a report to files.

use std::path::PathBuf;

use super::load_report::LoadReport;
use super::{html, junit, markdown};

/// Where the report goes, besides standard output.
#[derive(Clone, Debug, Default)]
pub struct ReportFiles {
    /// As JSON, for a comparison.
    pub json: Option<PathBuf>,
    /// As one HTML page.
    pub html: Option<PathBuf>,
    /// As Markdown.
    pub markdown: Option<PathBuf>,
    /// The verdicts alone, as JUnit's XML.
    pub junit: Option<PathBuf>,
}

impl ReportFiles {
    /// Finds out whether they can be written while there is nothing yet to lose.
    ///
    /// # Errors
    /// A sentence that names the file that can't be written.
    pub fn check(&self) -> Result<(), String> {
        for path in [&self.json, &self.html, &self.markdown, &self.junit].into_iter().flatten() {
            let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
            opened.map_err(|error| format!("the report {} can't be written: {error}", path.display()))?;
        }
        Ok(())
    }

    /// Writes `report` to each of them.
    ///
    /// # Errors
    /// A sentence that names the file that can't be written.
    pub fn write(&self, report: &LoadReport) -> Result<(), String> {
        let json = || serde_json::to_string_pretty(report).expect("a report has text keys and finite numbers only");
        let all: [(_, &dyn Fn() -> String); 4] = [
            (&self.json, &json),
            (&self.html, &|| html::render(report)),
            (&self.markdown, &|| markdown::render(report)),
            (&self.junit, &|| junit::render(report)),
        ];
        for (path, render) in all {
            if let Some(path) = path {
                std::fs::write(path, render()).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        Ok(())
    }
}
