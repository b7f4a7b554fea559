//! Every metric: its name, what it says, its labels. The page, its HELP texts and the documents come from here.

/// What a metric's value does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It goes up.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Times, counted by how long they were.
    Histogram,
}

impl Kind {
    /// Its name in the text format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name without the ending that its kind has.
    pub name: &'static str,
    /// What its value does.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

impl Metric {
    /// The name under which its values are asked for; of a histogram, what its parts begin with.
    pub fn full_name(&self) -> String {
        format!("{}{}", self.name, if self.kind == Kind::Counter { "_total" } else { "" })
    }
}

macro_rules! metrics {
    ($(#[doc = $help:literal] $constant:ident: $kind:ident $name:literal [$($label:literal),*];)+) => {
        $(
            #[doc = $help]
            pub(super) const $constant: Metric =
                Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )+

        /// All of them, in the order of the page.
        pub const ALL: &[Metric] = &[$($constant),+];
    };
}

metrics! {
    /// One, with the version of the proxy
    BUILD_INFO: Gauge "netdrift_build_info" ["version"];
    /// The number of the configuration in force: 1 at the start, one more with each reload
    CONFIG_EPOCH: Gauge "netdrift_config_epoch" [];
    /// Reloads, by whether the configuration was taken (ok) or refused
    RELOADS: Counter "netdrift_reloads" ["result"];
    /// Whether /readyz says that requests are served: 1 or 0
    READY: Gauge "netdrift_ready" [];
    /// Connections of clients that are open
    CONNECTIONS: Gauge "netdrift_connections" [];
    /// How many connections of clients may be open
    CONNECTION_LIMIT: Gauge "netdrift_connection_limit" [];
    /// Times that a connection could not be accepted, by what was lacking: descriptors, memory, other
    FAILED_ACCEPTS: Counter "netdrift_failed_accepts" ["reason"];
    /// Lines of the log that were lost, since nobody may wait for the log
    LOG_LINES_DROPPED: Counter "netdrift_log_lines_dropped" [];
    /// Requests under way, tunnels included
    CURRENT_REQUESTS: Gauge "netdrift_current_requests" [];
    /// Requests that are over, by outcome and by whose fault a bad one was
    REQUESTS: Counter "netdrift_requests" ["outcome", "blame"];
    /// From a request's whole head to its verdict
    REQUEST_SECONDS: Histogram "netdrift_request_seconds" [];
    /// Attempts behind the first one of a request
    FAILOVERS: Counter "netdrift_failovers" [];
    /// Attempts that ended, by whether a request or an active check made them, and by result: ok, or the failure
    ATTEMPTS: Counter "netdrift_upstream_attempts" ["upstream", "by", "result"];
    /// From the start of a request's attempt to its verdict
    ATTEMPT_SECONDS: Histogram "netdrift_upstream_attempt_seconds" ["upstream"];
    /// Phases of the attempts of requests, from each one's beginning to its end: lookup, tcp, tls and reply
    PHASE_SECONDS: Histogram "netdrift_attempt_phase_seconds" ["phase"];
    /// Failed attempts of requests that are over, by the phase in which they failed (stage), the failure, and whose fault it was
    FAILED: Counter "netdrift_upstream_failed_attempts" ["upstream", "stage", "failure", "blame"];
    /// Failed attempts, by whose fault they were and by the rule that says so
    BLAMED: Counter "netdrift_upstream_blamed_attempts" ["upstream", "blame", "rule"];
    /// Whether the upstream takes traffic: 1 or 0
    HEALTHY: Gauge "netdrift_upstream_healthy" ["upstream"];
    /// The upstream's weight; 0 where it is disabled
    WEIGHT: Gauge "netdrift_upstream_weight" ["upstream"];
    /// Failures in a row that were charged to the upstream
    FAILURES: Gauge "netdrift_upstream_failures_in_a_row" ["upstream"];
    /// Times that the upstream was put aside until a probe decided
    SUSPICIONS: Counter "netdrift_upstream_suspicions" ["upstream"];
    /// Times that the upstream was ejected
    EJECTIONS: Counter "netdrift_upstream_ejections" ["upstream"];
    /// Times that the upstream recovered
    RECOVERIES: Counter "netdrift_upstream_recoveries" ["upstream"];
    /// Times that the upstream was asked whether it has recovered
    PROBES: Counter "netdrift_upstream_probes" ["upstream"];
    /// Probes that failed, so that the next one waits longer
    FAILED_PROBES: Counter "netdrift_upstream_failed_probes" ["upstream"];
    /// Attempts and tunnels through the upstream at this moment
    UPSTREAM_CONNECTIONS: Gauge "netdrift_upstream_connections" ["upstream"];
    /// Connections to the upstream that are kept for another request
    IDLE_CONNECTIONS: Gauge "netdrift_upstream_idle_connections" ["upstream"];
    /// What netdrift_upstream_schedule_lag stays below, whether ahead or behind: 1 in the first epoch of the schedule, else 2
    LAG_BOUND: Gauge "netdrift_schedule_lag_bound" [];
    /// First picks of the upstream in this epoch of the schedule, less its share of them by weight; below 0 where it is behind
    LAG: Gauge "netdrift_upstream_schedule_lag" ["upstream"];
    /// Bytes carried through the upstream without heads: up from clients, down to them
    BYTES: Counter "netdrift_upstream_bytes" ["upstream", "direction"];
    /// Processor time that the process has used, in seconds
    CPU: Counter "process_cpu_seconds" [];
    /// Memory that the process holds in RAM, in bytes
    MEMORY: Gauge "process_resident_memory_bytes" [];
    /// Descriptors that the process has open
    DESCRIPTORS: Gauge "process_open_fds" [];
    /// Descriptors that the process may have open
    DESCRIPTOR_LIMIT: Gauge "process_max_fds" [];
    /// When the proxy started, in seconds since 1970
    START: Gauge "process_start_time_seconds" [];
}
