//! Reads the command line and makes the settings of a run from it.

mod run_args;
mod settings;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use run_args::RunArgs;

/// Load for proxies, with a verdict. Exit status: 0 all bounds kept, 1 one missed, 2 one not judgeable, 64 wrong usage, 69 can't start.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Puts load on a proxy and judges what comes back.
    Run(Box<RunArgs>),
    /// Shows how two runs differ, with a significance test; status 1 where the second is worse, 2 where they are too
    /// short to compare.
    Compare(CompareArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// The report of the first run (--json).
    pub(crate) before: PathBuf,
    /// The report of the second.
    pub(crate) after: PathBuf,
}
