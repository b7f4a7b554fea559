//! Some commands are about engines: which can play what, and how they compare.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use simulator::explore::parity::{Story, compare};
use simulator::judge::Verdict;
use simulator::report;
use simulator::scenario::{self, Scenario};
use simulator::subject::{self, Subject};
use simulator::world::{EngineKind, live};

use super::arguments::{EngineArgs, List, Parity};
use super::failure::{DATA, Failed, unwritten};
use super::files::{all, print};

/// How many runs are played at once.
pub(crate) fn threads(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |cores| cores.get()))
}

/// The subject called `name`, or that of the folder `name`.
pub(crate) fn subject(name: &str) -> Result<Arc<Subject>, Failed> {
    subject::named(name).map_err(|text| Failed { code: DATA, text: format!("{text}\n") })
}

/// Makes sure that an engine can play at all, and returns the proxy that it plays with.
pub(crate) fn prepare(args: &EngineArgs) -> Result<Arc<Subject>, Failed> {
    let subject = subject(&args.subject)?;
    prepare_with(args.engine, &subject, args.play.proxy.as_deref())?;
    Ok(subject)
}

/// Makes sure that `engine` can play with `subject` at all. `proxy` is netdrift's binary, if it is not the one beside the simulator's.
pub(crate) fn prepare_with(engine: EngineKind, subject: &Subject, proxy: Option<&Path>) -> Result<(), Failed> {
    if let Some(path) = proxy {
        // It is started in a folder of its own.
        live::use_proxy(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    }
    let code = Verdict::Unsupported.exit_code();
    engine.prepare(subject).map_err(|error| Failed { code, text: format!("{error}\n") })
}

/// Scenarios by their files, and the names of those that can't be played, with why.
pub(crate) type Sorted = (Vec<(PathBuf, Arc<Scenario>)>, Vec<(String, String)>);

/// The scenarios at `paths` that `engine` can play with `subject` and that scale, and the others.
pub(crate) fn sorted(paths: &[PathBuf], engine: EngineKind, subject: &Subject, scale: f64) -> Result<Sorted, Failed> {
    let (mut playable, mut others) = (Vec::new(), Vec::new());
    for (file, scenario) in all(paths)? {
        let mut why = engine.unsupported_with(subject, &scenario);
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

/// Plays scenarios in several engines and holds the outcomes against each other.
pub(crate) fn parity(args: &Parity) -> Result<u8, Failed> {
    let engines = if args.engines.is_empty() { EngineKind::value_variants() } else { &args.engines };
    for engine in engines {
        prepare_with(*engine, &Subject::netdrift(), args.play.proxy.as_deref())?;
    }
    let stories = all(&args.paths)?.into_iter().map(|(file, scenario)| {
        match scenario::load_scaled(&file, args.play.scale) {
            Ok(scaled) => Story { file, scenario: Arc::new(scaled), unscaled: None },
            // It is played as it is rather than not at all.
            Err(problems) => {
                let why = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                Story { file, scenario, unscaled: Some(why) }
            }
        }
    });
    let comparison = compare(&stories.collect::<Vec<_>>(), engines, threads(args.jobs), |engine, report| {
        // If nobody reads this, the files and the exit code still tell.
        let _ = writeln!(io::stdout().lock(), "{:<12} {}", engine.to_string(), report::line(report));
    });
    if let Some(path) = &args.json {
        std::fs::write(path, report::comparison_json(&comparison)).map_err(|error| unwritten(path, &error))?;
    }
    if let Some(path) = &args.markdown {
        std::fs::write(path, report::comparison_markdown(&comparison)).map_err(|error| unwritten(path, &error))?;
    }
    print(&report::comparison_text(&comparison))?;
    Ok(u8::from(comparison.unexplained() > 0))
}

/// Says what is wrong with scenarios, or that an engine can't play them.
pub(crate) fn check(paths: &[PathBuf], engine: EngineKind) -> Result<u8, Failed> {
    let unsupported = |(file, scenario): (PathBuf, Arc<Scenario>)| {
        let say = move |what: String| format!("{}: {what}\n", file.display());
        engine.unsupported(&scenario).into_iter().map(say).collect::<String>()
    };
    let text: String = all(paths)?.into_iter().map(unsupported).collect();
    if text.is_empty() { Ok(0) } else { Err(Failed { code: Verdict::Unsupported.exit_code(), text }) }
}

/// Says what each scenario is about, or whether an engine can play it.
pub(crate) fn list(args: &List) -> Result<u8, Failed> {
    let Some(engine) = args.engine else {
        let scenarios = all(&args.paths)?.into_iter();
        let lines =
            scenarios.map(|(_, scenario)| format!("{:<28} {}\n", scenario.name, report::one_line(&scenario.story)));
        return print(&lines.collect::<String>());
    };
    let (playable, others) = sorted(&args.paths, engine, &*subject(&args.subject)?, args.scale)?;
    let can = playable.iter().map(|(_, scenario)| format!("can    {}\n", scenario.name));
    let cannot = others.iter().map(|(name, why)| format!("can't  {name}: {why}\n"));
    print(&can.chain(cannot).collect::<String>())
}
