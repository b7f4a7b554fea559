//! The arguments of the commands that put proxies, ours and others, to the test.

use std::path::PathBuf;

use clap::Args;

/// Check a proxy by the RFCs
#[derive(Debug, Args)]
pub(crate) struct Conformance {
    /// The proxy: one of simulator/subjects, or another folder like these.
    #[arg(long, default_value = "netdrift", value_name = "NAME|FOLDER")]
    pub(crate) subject: String,
    /// netdrift's binary. Left out: the one beside the simulator's.
    #[arg(long, value_name = "PATH")]
    pub(crate) proxy: Option<PathBuf>,
    /// Fail on what SHOULD be as well, and not only on what MUST.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Only the requirements of this section and those in it, such as 9110-7.6.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "SECTION")]
    pub(crate) section: String,
    /// Write the results as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
}

/// Play every fault against every proxy, and ask each for the features that it claims
#[derive(Debug, Args)]
pub(crate) struct Matrix {
    /// Faults by name, with commas between them. Left out: all of the catalogue, unless `--features` are named.
    #[arg(long, value_delimiter = ',', value_name = "FAULT,…")]
    pub(crate) faults: Vec<String>,
    /// Features by name, with commas between them. Left out: all that a run shows, unless `--faults` are named.
    #[arg(long, value_delimiter = ',', value_name = "FEATURE,…")]
    pub(crate) features: Vec<String>,
    /// Subjects by name or folder, with commas between them. Left out: those of simulator/subjects that are installed.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub(crate) subjects: Vec<String>,
    /// Play each cell so many times. The worst of them counts, and is shown with its share.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = super::incident::at_least_one)]
    pub(crate) times: usize,
    /// Runs at once.
    #[arg(long, default_value_t = 4)]
    pub(crate) jobs: usize,
    /// netdrift's binary. Left out: the one beside the simulator's.
    #[arg(long, value_name = "PATH")]
    pub(crate) proxy: Option<PathBuf>,
    /// Take over what an earlier run has written there, and play only what it lacks.
    #[arg(long, value_name = "FILE")]
    pub(crate) resume: Option<PathBuf>,
    /// Play nothing: take what an earlier run has written there.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["resume", "faults", "features", "subjects"])]
    pub(crate) from: Option<PathBuf>,
    /// Write the results as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the results as a page.
    #[arg(long, value_name = "FILE")]
    pub(crate) page: Option<PathBuf>,
    /// Fail if a cell of netdrift is worse than in these results.
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
}
