//! What a run is asked to do.

use std::path::PathBuf;
use std::time::Duration;

use crate::inject::Fault;
use crate::report::Reports;
use crate::sockets::Trust;
use crate::verdict::expect::Expect;
use crate::workload::Workload;

/// What a run was asked to do.
pub struct Settings {
    pub proxy: String,
    pub workload: Workload,
    pub threads: usize,
    pub trust: Trust,
    pub probe: bool,
    pub verify: Verify,
    pub witnesses: Witnesses,
    pub fault: Option<Fault>,
    pub victim: Option<String>,
    pub reports: Reports,
    pub quiet: bool,
    /// In words, for the report.
    pub words: Vec<String>,
}

/// Which verdicts are wanted.
pub struct Verify {
    pub weights: bool,
    pub ledger: bool,
    pub failover: bool,
    pub expects: Vec<Expect>,
}

/// Who else saw the requests.
pub struct Witnesses {
    pub stats: String,
    pub upstreams: Vec<(String, Option<u64>)>,
    pub journals: Vec<PathBuf>,
    pub weights: Vec<(String, u64)>,
    /// The proxy's process, and from when on its memory counts.
    pub process: Option<(u32, Duration)>,
}
