//! Which engine plays what, and engines against each other.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use simulator::cli::{Means, Parity};
use simulator::engine::{Kind, live};
use simulator::parity;
use simulator::run::Verdict;
use simulator::scenario::{self, Scenario};

use crate::{Failed, all, print, threads, unwritten};

/// Makes sure that `engine` can play at all.
pub(crate) fn prepare(engine: Kind, means: &Means) -> Result<(), Failed> {
    if let Some(path) = &means.proxy {
        live::use_proxy(path.clone());
    }
    let code = Verdict::Unsupported.exit_code();
    engine.prepare().map_err(|error| Failed { code, text: format!("{error}\n") })
}

/// Scenarios by their files, and the names of those that can't be played, with why.
pub(crate) type Sorted = (Vec<(PathBuf, Arc<Scenario>)>, Vec<(String, String)>);

/// The scenarios at `paths` that `engine` can play with that scale, and the others.
pub(crate) fn sorted(paths: &[PathBuf], engine: Kind, scale: f64) -> Result<Sorted, Failed> {
    let (mut playable, mut others) = (Vec::new(), Vec::new());
    for (file, scenario) in all(paths)? {
        let mut why = engine.lacks(&scenario);
        match scenario::load_scaled(&file, scale) {
            Ok(scaled) if why.is_empty() => playable.push((file, Arc::new(scaled))),
            Ok(_) => {}
            Err(problems) => why.extend(problems.iter().map(ToString::to_string)),
        }
        if !why.is_empty() {
            others.push((scenario.name.clone(), why.join("; ")));
        }
    }
    Ok((playable, others))
}

pub(crate) fn compare(args: &Parity) -> Result<u8, Failed> {
    let engines = if args.engines.is_empty() { Kind::value_variants() } else { &args.engines };
    for engine in engines {
        prepare(*engine, &args.means)?;
    }
    let subjects = all(&args.paths)?.into_iter().map(|(file, scenario)| {
        match scenario::load_scaled(&file, args.means.scale) {
            Ok(scaled) => parity::Subject { file, scenario: Arc::new(scaled), unscaled: None },
            // Played as it is rather than not at all.
            Err(problems) => {
                let why = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                parity::Subject { file, scenario, unscaled: Some(why) }
            }
        }
    });
    let report = parity::compare(&subjects.collect::<Vec<_>>(), engines, threads(args.jobs), |line| {
        // Nobody reads; the files and the exit code still tell.
        let _ = writeln!(io::stdout().lock(), "{line}");
    });
    if let Some(path) = &args.json {
        std::fs::write(path, report.json()).map_err(|error| unwritten(path, &error))?;
    }
    if let Some(path) = &args.markdown {
        std::fs::write(path, report.markdown()).map_err(|error| unwritten(path, &error))?;
    }
    print(&report.text())?;
    Ok(u8::from(report.unexplained() > 0))
}
