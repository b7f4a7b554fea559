//! The arguments of the commands that are about incidents: a recorded day, and its replay.

use std::path::PathBuf;

use clap::Args;
use simulator::incident::{Bound, REQUESTS};

use super::play::{EngineArgs, Seeds};

/// Record a day
#[derive(Debug, Args)]
pub(crate) struct Record {
    /// The proxy's log as JSON, complete at level debug; rotated files too, in any order.
    #[arg(required = true)]
    pub(crate) logs: Vec<PathBuf>,
    /// The configuration that the proxy had when the log begins. Names and addresses are replaced, secrets are left out.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Where the scenario is written; a file that is there already is left alone.
    #[arg(long, default_value = "incident.json", value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// A file whose bytes are the key of the names, so that several recordings have the same names. Left out: a key that nobody knows.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Keep so many requests at most. Of more, an even part is taken.
    #[arg(long, default_value_t = REQUESTS, value_name = "N", value_parser = at_least_one)]
    pub(crate) most: usize,
}

/// Write a first scenario
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The configuration of the proxy. Addresses, users and tags are replaced, secrets are left out.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// What the scenario is called: letters, digits and dashes.
    #[arg(long, default_value = "first")]
    pub(crate) name: String,
    /// Where it is written; a file that is there already is left alone. Left out: NAME.json.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Hold replays against their days
#[derive(Debug, Args)]
pub(crate) struct Fidelity {
    /// Files, or directories of *.json.
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// One seed for all. Left out: each its own.
    #[arg(long, conflicts_with = "live")]
    pub(crate) seed: Option<u64>,
    /// The engine that replays them.
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    /// They are any scenarios: play each on real sockets first, with netdrift, and record the proxy's own log of that.
    #[arg(long, conflicts_with_all = ["engine", "subject"])]
    pub(crate) live: bool,
    /// With `--live`: so many at once. Left out: one for each core.
    #[arg(long, requires = "live")]
    pub(crate) jobs: Option<usize>,
    /// With `--live`: leave each log in this folder, with its configuration and the day that was made of it.
    #[arg(long, requires = "live", value_name = "FOLDER")]
    pub(crate) keep: Option<PathBuf>,
    /// Print the reports as JSON, one after the other, each with the name of its scenario.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Play a day under other settings
#[derive(Debug, Args)]
pub(crate) struct WhatIf {
    /// The recorded day, or any other scenario.
    pub(crate) file: PathBuf,
    /// A configuration to try, which may leave out what stays as it was; give it again for more.
    #[arg(long = "config", required = true, value_name = "FILE")]
    pub(crate) configs: Vec<PathBuf>,
    /// The key of the recording, so that upstreams are known by their addresses.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Every seed from A to B, both included.
    #[arg(long, value_name = "A..B", default_value = "1..20")]
    pub(crate) seeds: Seeds,
    /// A bound on the mean of a figure under each candidate, such as "harmed<=10"; give it again for more.
    #[arg(long = "expect", value_name = "BOUND")]
    pub(crate) bounds: Vec<Bound>,
    /// Runs at once. Left out: one for each core.
    #[arg(long)]
    pub(crate) jobs: Option<usize>,
    /// Print the figures as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the days under each other on a page.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("must be 1 or more (got {text:?})"))
}
