//! What a pipeline wants of `run` beside the reports: annotations, what is new since a base, pictures of what failed.

use std::path::{Path, PathBuf};

use simulator::explore::base::SinceBase;
use simulator::explore::batch::Job;
use simulator::explore::results;
use simulator::judge::{RunReport, Verdict};
use simulator::report;
use simulator::scenario;
use simulator::subject::Subject;
use simulator::world::EngineKind;

use super::arguments::{Annotations, Run};
use super::failure::{DATA, Failed, unwritten};
use super::files::{files, print};

/// Marks the lines of scenario files which `reports` are about.
pub(crate) fn annotate(how: Annotations, jobs: &[Job], reports: &[RunReport]) -> Result<(), Failed> {
    for (job, report) in jobs.iter().zip(reports).filter(|(_, report)| report.verdict != Verdict::Unsupported) {
        print(&match how {
            Annotations::Github => report::github(report, &job.file, &text_of(&job.file)),
        })?;
    }
    Ok(())
}

/// Marks what is wrong with the scenario files themselves.
pub(crate) fn annotate_wrong(how: Annotations, args: &Run) -> Result<(), Failed> {
    for file in files(&args.paths)? {
        let Err(problems) = scenario::load_scaled(&file, args.engine.play.scale) else { continue };
        print(&match how {
            Annotations::Github => report::github_problems(&problems, &file, &text_of(&file)),
        })?;
    }
    Ok(())
}

/// A file that is gone meanwhile has no lines.
fn text_of(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

/// The results to hold those of now against.
pub(crate) fn read_base(file: &Path, engine: EngineKind, subject: &Subject) -> Result<results::Results, Failed> {
    let wrong = |text: String| Failed { code: DATA, text };
    let base = results::read(file).map_err(|problem| wrong(format!("{problem}\n")))?;
    if base.engine != engine {
        let text = format!("{}: engine: is {}, but {engine} plays now\n", file.display(), base.engine);
        return Err(wrong(text));
    }
    let now = subject.name();
    if base.subject != now {
        let text = format!("{}: subject: is {}, but {now} plays now\n", file.display(), base.subject);
        return Err(wrong(text));
    }
    Ok(base)
}

/// Says what is new since the base.
pub(crate) fn tell_since(since: &SinceBase) -> Result<(), Failed> {
    for (what, runs) in since.lists() {
        for (scenario, seed) in runs {
            print(&format!("{what}: {scenario} seed {seed}\n"))?;
        }
    }
    Ok(())
}

/// Draws a run that failed in `folder`, which is made if it isn't there.
pub(crate) fn draw(folder: &Path, job: &Job, report: &RunReport) -> Result<(), Failed> {
    if matches!(report.verdict, Verdict::Passed | Verdict::Unsupported) {
        return Ok(());
    }
    let file: PathBuf = folder.join(format!("{}-{}.html", report.scenario, report.seed));
    let page = report::timeline_page(&job.scenario, report, &job.file);
    std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&file, page)).map_err(|error| unwritten(&file, &error))
}
