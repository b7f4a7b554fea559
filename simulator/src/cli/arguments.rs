//! The arguments of the command line are parsed here.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
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
    /// Find the smallest scenario that still fails as this one does, and write it down.
    Shrink(Shrink),
    /// Print the JSON Schema of scenario files.
    Schema,
}

/// Run scenarios
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Files, or directories of *.json.
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// OneRun seed for all. Left out: each scenario's own.
    #[arg(long, conflicts_with = "seeds")]
    pub(crate) seed: Option<u64>,
    /// Every seed from A up to, but not including, B.
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
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,
    /// Write the reports as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the reports as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Write the reports as a Markdown table.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

/// OneRun scenario
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

/// Which engine plays scenarios, and how
#[derive(Clone, Debug, Args)]
pub(crate) struct EngineArgs {
    /// The engine that plays it: a simulated network in virtual time, or real sockets in real time.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) engine: EngineKind,
    /// The arguments that are the same for all engines.
    #[command(flatten)]
    pub(crate) play: PlayArgs,
}

/// How scenarios are played
#[derive(Clone, Debug, Args)]
pub(crate) struct PlayArgs {
    /// The proxy's binary for the live engine. Left out: the one beside the simulator's.
    #[arg(long, value_name = "PATH")]
    pub(crate) proxy: Option<PathBuf>,
    /// Multiply every length of time in the scenario.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = factor)]
    pub(crate) scale: f64,
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
    /// OneRun of the engines; give it again for more. Left out: all.
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

/// A number above 0.
fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor: &f64| factor.is_finite() && *factor > 0.0);
    factor.ok_or_else(|| format!("must be a number above 0, such as 0.25 (got {text:?})"))
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
    /// Where scenarios that fail are written.
    #[arg(long, default_value = "sweep", value_name = "DIR")]
    pub(crate) keep: PathBuf,
}

/// Shrink a scenario that fails
#[derive(Debug, Args)]
pub(crate) struct Shrink {
    /// Its file.
    pub(crate) file: PathBuf,
    /// Left out: its own seed.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Where the smaller one is written.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// Runs at most.
    #[arg(long, default_value_t = 2000)]
    pub(crate) runs: usize,
}

/// `A..B`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seeds(pub(crate) Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
        let range = range.filter(|range: &Range<u64>| range.start < range.end);
        range.map(Seeds).ok_or_else(|| format!("must be like 1..100, the first below the second (got {text:?})"))
    }
}

/// `I/N`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    /// Which, from 1.
    pub(crate) index: usize,
    /// Of how many.
    pub(crate) of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shard = text.split_once('/').and_then(|(a, b)| Some(Shard { index: a.parse().ok()?, of: b.parse().ok()? }));
        let shard = shard.filter(|shard: &Shard| (1..=shard.of).contains(&shard.index));
        shard.ok_or_else(|| format!("must be like 1/4 (got {text:?})"))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_shards_are_read_or_refused_with_an_example() {
        assert_eq!("1..9".parse::<Seeds>(), Ok(Seeds(1..9)));
        assert_eq!("2/4".parse::<Shard>(), Ok(Shard { index: 2, of: 4 }));
        for wrong in ["", "1", "9..1", "1..1", "a..b"] {
            assert!(wrong.parse::<Seeds>().unwrap_err().contains("1..100"), "{wrong}");
        }
        assert_eq!(factor("0.25"), Ok(0.25));
        for wrong in ["", "0", "-1", "inf", "NaN", "x"] {
            assert!(factor(wrong).unwrap_err().contains("0.25"), "{wrong}");
        }
        for wrong in ["", "1", "0/4", "5/4", "a/b"] {
            assert!(wrong.parse::<Shard>().unwrap_err().contains("1/4"), "{wrong}");
        }
    }
}
