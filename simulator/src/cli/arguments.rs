//! The arguments of the command line are parsed here.

mod incident;
mod play;
mod proxies;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
pub(crate) use incident::{Fidelity, New, Record, WhatIf};
use play::factor;
pub(crate) use play::{EngineArgs, PlayArgs, Seeds};
pub(crate) use proxies::{Conformance, Matrix};
use simulator::explore::shard::Shard;
use simulator::world::EngineKind;

/// Plays stories about the netdrift proxy in a simulated network, or on real sockets
///
/// Exit codes: 0 all holds; 1 a law or expectation does not hold, or engines differ; 2 no progress once all was healed; 3 a task
/// panicked; 4 a run that spins or lasts too long; 64 a wrong command line; 65 a wrong scenario; 69 a scenario that this engine can't play, or no
/// proxy to play it with; 70 a task that never yields, so that the whole process had to end; 74 a file that can't be written. Where runs end
/// differently, the worst counts: 3, 4, 1, 2, 69, 0.
#[derive(Debug, Parser)]
#[command(name = "simulator", version)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run scenarios.
    Run(Run),
    /// Run one scenario with one seed and show what happened at the end of its trace.
    Replay(OneRun),
    /// Only say what is wrong with scenario files.
    Check {
        /// Files, or directories of *.json.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// The engine that is to play them.
        #[arg(long, value_enum, default_value_t)]
        engine: EngineKind,
    },
    /// Say what each scenario is about, or whether an engine can play it.
    List(List),
    /// Play scenarios in several engines and hold the outcomes against each other.
    Parity(Parity),
    /// Print the trace of one run as JSON lines; the digest goes to standard error.
    Trace(OneRun),
    /// Draw one run as an HTML page.
    Timeline(Timeline),
    /// Make up scenarios and run them; those that fail are written down.
    Sweep(Sweep),
    /// Put the results of all shards together, and judge what no shard can judge alone.
    Merge(Merge),
    /// Check a proxy on real sockets by the requirements of RFC 9110, 9112, 9209 and 9931 that are addressed to proxies.
    Conformance(Conformance),
    /// Play every fault of the faulty upstream against every proxy that is installed, on real sockets.
    Matrix(Matrix),
    /// Print what was never reached, by the results of runs and sweeps.
    Coverage(Coverage),
    /// Find the smallest scenario that still fails as this one does, and write it down.
    Shrink(Shrink),
    /// Tell how two traces differ: the first line that does, what became of requests, and what the laws say of it.
    Diff {
        /// What `trace` has written.
        one: PathBuf,
        /// The same of another run.
        other: PathBuf,
        /// What `run --json` has written of the same two runs: differences are told in the words of the laws as well.
        #[arg(long, num_args = 2, value_names = ["ONE", "OTHER"])]
        results: Option<Vec<PathBuf>>,
    },
    /// Make a scenario of the proxy's log, which replays what happened.
    Record(Record),
    /// Replay recorded days, and tell what differs from what was seen on them.
    Fidelity(Fidelity),
    /// Play a recorded day under other settings, and show what they would have changed.
    WhatIf(WhatIf),
    /// Write a first scenario for a pool of one's own, from the configuration of its proxy.
    New(New),
    /// Print the JSON Schema of scenario files.
    Schema,
}

/// Run scenarios
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Files, or directories of *.json.
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// One seed for all. Left out: each scenario's own.
    #[arg(long, conflicts_with = "seeds")]
    pub(crate) seed: Option<u64>,
    /// Every seed from A to B, both included: 1..100 is a hundred seeds, and so is 1..=100.
    #[arg(long, value_name = "A..B")]
    pub(crate) seeds: Option<Seeds>,
    /// The engine that plays it.
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    /// Leave out what the engine can't play, and say why.
    #[arg(long)]
    pub(crate) where_possible: bool,
    /// Runs at once. Left out: one for each core.
    #[arg(long)]
    pub(crate) jobs: Option<usize>,
    /// The I-th of N parts of all runs, from 1.
    #[arg(long, value_name = "I/N", default_value_t)]
    pub(crate) shard: Shard,
    /// Write the reports as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the reports as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Write the reports as a Markdown table.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Results of an earlier `run --json`: say which failures are new since, and which are mended.
    #[arg(long, value_name = "FILE")]
    pub(crate) base: Option<PathBuf>,
    /// Mark the lines of the scenario files in a pipeline's view of the change.
    #[arg(long, value_name = "SERVICE")]
    pub(crate) annotations: Option<Annotations>,
    /// Draw each run that fails in this folder, as `timeline` does.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) timelines: Option<PathBuf>,
}

/// Who shows annotations
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Annotations {
    /// GitHub Actions: workflow commands on standard output.
    Github,
}

/// One scenario
#[derive(Debug, Args)]
pub(crate) struct OneRun {
    /// Its file.
    pub(crate) file: PathBuf,
    /// Left out: its own seed.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// The engine that plays it.
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Say what each scenario is about
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Files, or directories of *.json.
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Say instead whether this engine can play it, and if not, why.
    #[arg(long, value_enum)]
    pub(crate) engine: Option<EngineKind>,
    /// The same with this proxy.
    #[arg(long, default_value = "netdrift", value_name = "NAME|FOLDER", requires = "engine")]
    pub(crate) subject: String,
    /// The same with every length of time multiplied.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = factor, requires = "engine")]
    pub(crate) scale: f64,
}

/// Hold engines against each other
#[derive(Debug, Args)]
pub(crate) struct Parity {
    /// Files, or directories of *.json.
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// One of the engines; give it again for more. Left out: all.
    #[arg(long = "engine", value_enum)]
    pub(crate) engines: Vec<EngineKind>,
    /// How they are played.
    #[command(flatten)]
    pub(crate) play: PlayArgs,
    /// Runs at once. Left out: one for each core.
    #[arg(long)]
    pub(crate) jobs: Option<usize>,
    /// Write the report as a Markdown table.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Draw one run
#[derive(Debug, Args)]
pub(crate) struct Timeline {
    /// What is drawn.
    #[command(flatten)]
    pub(crate) one: OneRun,
    /// Where the page is written. Left out: standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
}

/// Make up scenarios and run them
#[derive(Debug, Args)]
pub(crate) struct Sweep {
    /// Everything follows from it.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// No new run begins after so long. Left out: no limit but `--runs`.
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME", required_unless_present = "runs")]
    pub(crate) time: Option<Duration>,
    /// So many runs at most.
    #[arg(long)]
    pub(crate) runs: Option<u64>,
    /// Runs at once. Left out: one for each core.
    #[arg(long)]
    pub(crate) jobs: Option<usize>,
    /// The engine that plays them: one of the simulated ones.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) engine: EngineKind,
    /// The I-th of N parts of all runs, from 1.
    #[arg(long, value_name = "I/N", default_value_t)]
    pub(crate) shard: Shard,
    /// End with the first run that fails.
    #[arg(long)]
    pub(crate) until_failure: bool,
    /// Write the results as JSON, for `merge` and `coverage`.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where scenarios that fail are written.
    #[arg(long, default_value = "sweep", value_name = "DIR")]
    pub(crate) keep: PathBuf,
}

/// Put the results of shards together
#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// What each shard of `run --json` or `sweep --json` has written.
    #[arg(required = true)]
    pub(crate) results: Vec<PathBuf>,
    /// Write what they are together as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Print what was never reached
#[derive(Debug, Args)]
pub(crate) struct Coverage {
    /// What `run --json` and `sweep --json` have written.
    #[arg(required = true)]
    pub(crate) results: Vec<PathBuf>,
    /// Fail where something was not reached that is not listed as unreachable (1), or a sweep has reached what is (65).
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Shrink a scenario that fails
#[derive(Debug, Args)]
pub(crate) struct Shrink {
    /// Its file.
    pub(crate) file: PathBuf,
    /// Left out: its own seed.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// The engine that plays it.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) engine: EngineKind,
    /// Where the smaller one is written.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// Runs at most.
    #[arg(long, default_value_t = 2000)]
    pub(crate) runs: usize,
}
