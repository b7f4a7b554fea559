//! Holds the settings of a run.

use std::path::PathBuf;
use std::time::Duration;

use crate::inject::Fault;
use crate::report::ReportFiles;
use crate::sockets::TargetTrust;
use crate::verdict::threshold::Threshold;
use crate::watch::StatisticsPage;
use crate::workload::Workload;

/// What a run is asked to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The proxy, as `host:port`.
    pub proxy: String,
    /// The load to put on it.
    pub workload: Workload,
    /// The threads that make the load.
    pub threads: usize,
    /// Which certificates of targets are trusted.
    pub trust: TargetTrust,
    /// Whether each action, and each user, is tried once before the load.
    pub probe: bool,
    /// The verdicts that are wanted.
    pub verdicts: WantedVerdicts,
    /// Who else saw the requests.
    pub witnesses: Witnesses,
    /// The fault in the middle of the run.
    pub fault: Option<Fault>,
    /// The upstream that fails, as the proxy's statistics name it.
    pub victim: Option<String>,
    /// The files that the report is written to.
    pub reports: ReportFiles,
    /// Whether no progress is shown.
    pub quiet: bool,
    /// The settings in words, for the report.
    pub words: Vec<String>,
}

/// The verdicts that are wanted, besides those that every run gets.
#[derive(Clone, Debug, Default)]
pub struct WantedVerdicts {
    /// Whether shares are judged against weights.
    pub weights: bool,
    /// Whether every request is reconciled between all witnesses.
    pub ledger: bool,
    /// Whether the cost of the fault is judged.
    pub failover: bool,
    /// Bounds on single figures.
    pub thresholds: Vec<Threshold>,
}

/// Who else saw the requests.
#[derive(Clone, Debug)]
pub struct Witnesses {
    /// The proxy's statistics.
    pub statistics: StatisticsPage,
    /// Mock upstreams that can be asked, as `host:port`, with their weights where they are known.
    pub upstreams: Vec<(String, Option<u64>)>,
    /// Files that hold upstreams' journals; where there are any, upstreams are not asked for theirs.
    pub journals: Vec<PathBuf>,
    /// The weights of the exits that responses name.
    pub weights: Vec<(String, u64)>,
    /// The number of the proxy's process, and the time from which on growth of its memory counts.
    pub process: Option<(u32, Duration)>,
}
