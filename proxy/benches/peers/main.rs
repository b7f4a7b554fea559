//! Compares netdrift with other proxies that do the same job in the same run: client → proxy → upstream proxy → target.
//!
//! Run by `make bench-peers`. In each round every contender is started anew with an upstream of its own, and each
//! measure goes round all of them before the next. Ratios are those of figures of one round: absolute figures are those of the
//! machine and of whatever else runs on it.

mod arena;
mod contender;
mod load;
mod machine;
mod measure;
#[path = "../support/mod.rs"]
mod support;
mod table;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proxy::env::Env;
use proxy::env::os::Os;

use arena::Arena;
use contender::{Contender, RATIOS, contenders};
use load::Load;
use machine::{Running, Watch};
use measure::Measure;
use support::process::ChildProcess;
use support::upstream;
use table::{Row, Run};

/// A share of the machine; others that take more have disturbed a measure.
const DISTURBED: f64 = 0.05;

/// What a process is made to do before it is measured.
const WARM_UP: Duration = Duration::from_millis(100);

struct Options {
    rounds: usize,
    span: Duration,
    /// A measure that others disturbed is taken again so often at most.
    repeats: usize,
    proxy: PathBuf,
    /// Another build, for what a change is worth.
    beside: Option<PathBuf>,
    measures: Vec<Measure>,
    /// All, if there are none.
    contenders: Vec<String>,
    json: Option<PathBuf>,
    /// From this run the table is written into these pages, and nothing is measured.
    table: Option<PathBuf>,
    pages: Vec<PathBuf>,
}

const USAGE: &str = "there are --rounds N, --millis N, --repeats N, --proxy FILE, --beside FILE, --measures NAME,…, \
                     --contenders NAME,…, --json FILE; or --table FILE and then pages";

fn options() -> Result<Options, String> {
    let mut options = Options {
        rounds: 5,
        span: Duration::from_millis(700),
        repeats: 2,
        proxy: env!("CARGO_BIN_EXE_proxy").into(),
        beside: None,
        measures: Measure::ALL.to_vec(),
        contenders: Vec::new(),
        json: None,
        table: None,
        pages: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        let wrong = |error: std::num::ParseIntError| format!("{argument}: {error}");
        match argument.as_str() {
            // cargo's own.
            "--bench" => {}
            "--rounds" => options.rounds = value()?.parse().map_err(wrong)?,
            "--millis" => options.span = Duration::from_millis(value()?.parse().map_err(wrong)?),
            "--repeats" => options.repeats = value()?.parse().map_err(wrong)?,
            "--proxy" => options.proxy = value()?.into(),
            "--beside" => options.beside = Some(value()?.into()),
            "--json" => options.json = Some(value()?.into()),
            "--table" => options.table = Some(value()?.into()),
            "--contenders" => options.contenders = value()?.split(',').map(str::to_owned).collect(),
            "--measures" => {
                let named = |name: &str| Measure::ALL.into_iter().find(|measure| measure.name() == name);
                let known = || Measure::ALL.map(Measure::name).join(", ");
                let one = |name: &str| named(name).ok_or_else(|| format!("{name}: no measure; there are {}", known()));
                options.measures = value()?.split(',').map(one).collect::<Result<_, _>>()?;
            }
            page if options.table.is_some() && !page.starts_with('-') => options.pages.push(page.into()),
            _ => return Err(format!("{argument}: unknown; {USAGE}")),
        }
    }
    Ok(options)
}

/// What a run has found so far.
struct Found {
    rows: Vec<(Measure, Vec<Row>)>,
    taken: usize,
    disturbed: usize,
}

impl Found {
    /// Takes `measure` of `contender`, again while others disturb it; keeps the figures that were disturbed least.
    async fn take(
        &mut self,
        place: usize,
        contender: &Contender,
        running: &Running,
        options: &Options,
    ) -> io::Result<()> {
        let Some((measure, rows)) = self.rows.get_mut(place) else { return Ok(()) };
        let mut best: Option<(f64, Vec<f64>)> = None;
        for _ in 0..=options.repeats {
            let watch = Watch::start()?;
            let taken = measure.take(running, options.span).await;
            let others = watch.others()?;
            match taken {
                Ok(figures) if best.as_ref().is_none_or(|(least, _)| others < *least) => best = Some((others, figures)),
                Ok(_) => {}
                Err(error) => eprintln!("{}: {}: {error}", measure.name(), contender.name),
            }
            // What is weighed would not be the first weighing any more, and does not depend on others.
            if others <= DISTURBED || *measure == Measure::Idle {
                break;
            }
        }
        let (others, figures) = best.map_or((0.0, None), |(others, figures)| (others, Some(figures)));
        self.taken += 1;
        if others > DISTURBED && *measure != Measure::Idle {
            self.disturbed += 1;
            eprintln!(
                "{}: {}: other processes took {:.0} % of the machine",
                measure.name(),
                contender.name,
                others * 100.0
            );
        }
        for (at, row) in rows.iter_mut().enumerate() {
            let figure = figures.as_ref().and_then(|all| all.get(at).copied()).filter(|figure| figure.is_finite());
            row.figures.entry(contender.name.to_owned()).or_default().push(figure);
        }
        Ok(())
    }
}

/// A contender with its upstream, and where they run. The processes end first.
struct Started {
    running: Running,
    _upstream: ChildProcess,
    arena: Arena,
}

fn measured(options: &Options) -> io::Result<Run> {
    let mut all = contenders(&options.proxy, options.beside.as_deref());
    all.retain(|one| options.contenders.is_empty() || options.contenders.iter().any(|name| name == one.name));
    let rows = options.measures.iter().map(|measure| (*measure, measure.rows())).collect();
    let mut found = Found { rows, taken: 0, disturbed: 0 };
    let shared = Arena::alone().err();
    if let Some(error) = &shared {
        eprintln!("all contenders share one network: {error}");
    }
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        let folder = tempfile::tempdir()?;
        let mut started = Vec::new();
        for contender in &all {
            let arena = if shared.is_some() { Arena::shared() } else { Arena::alone() }?;
            let (upstream, running) = arena.run(start(contender, folder.path()))?;
            started.push(Started { running, _upstream: upstream, arena });
        }
        for (place, measure) in options.measures.iter().enumerate() {
            // Another one goes first in every round.
            for at in (0..all.len()).map(|at| (at + round) % all.len()) {
                if let (Some(contender), Some(started)) = (all.get(at), started.get(at))
                    && contender.takes(*measure)
                {
                    started.arena.run(found.take(place, contender, &started.running, options))?;
                }
            }
        }
    }
    let stamp = humantime::format_rfc3339_seconds(Os::new().wall()).to_string();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let takes_part = |name: &str| all.iter().any(|one| one.name == name);
    Ok(Run {
        date: stamp.chars().take(10).collect(),
        kernel: kernel.trim().split('-').next().unwrap_or_default().to_owned(),
        cores: std::thread::available_parallelism()?.get(),
        rounds: options.rounds,
        millis: options.span.as_millis() as u64,
        contenders: all.iter().map(|one| (one.name.to_owned(), one.version())).collect(),
        ratios: (RATIOS.iter())
            .filter(|(one, other)| takes_part(one) && takes_part(other))
            .map(|(one, other)| ((*one).to_owned(), (*other).to_owned()))
            .collect(),
        rows: found.rows.into_iter().flat_map(|(_, rows)| rows).collect(),
        taken: found.taken,
        disturbed: found.disturbed,
        alone: shared.is_none(),
    })
}

/// `contender`, warm, with its upstream.
async fn start(contender: &Contender, folder: &Path) -> io::Result<(ChildProcess, Running)> {
    let (child, upstream) = ChildProcess::upstream()?;
    let running = contender.start(folder, upstream).await?;
    let load = if contender.takes(Measure::Idle) { Load::Tunnels } else { Load::Get };
    load.run(running.addr, 32, WARM_UP).await?;
    Ok((child, running))
}

/// Writes the table of the run that `json` keeps into `pages`.
fn write_tables(json: &Path, pages: &[PathBuf]) -> Result<(), Box<dyn std::error::Error>> {
    let run: Run = serde_json::from_slice(&fs::read(json)?)?;
    for page in pages {
        let text = table::replaced(&fs::read_to_string(page)?, &run);
        fs::write(page, text.ok_or_else(|| format!("{} has no marks for the table", page.display()))?)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().nth(1).as_deref() == Some("upstream") {
        return Ok(Arena::shared()?.run(upstream::serve())?);
    }
    let options = options()?;
    // cargo starts a bench in its crate's folder; paths on the command line are meant from the tree's root, as in the script.
    std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?;
    if let Some(json) = &options.table {
        return write_tables(json, &options.pages);
    }
    let run = measured(&options)?;
    if let Some(json) = &options.json {
        fs::write(json, serde_json::to_string_pretty(&run)? + "\n")?;
    }
    print!("{}", run.markdown());
    Ok(())
}
