//! What a process of this program was started for.

use std::path::PathBuf;

use super::running::RunningProxy;
use crate::event::RequestId;
use crate::proxy::{Order, TunnelFilter};

/// What the proxy was started for. Every configuration named here is already decided: variable, flag or default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve.
    Run {
        /// The configuration file.
        config: PathBuf,
        /// Whether it takes over from the process that runs with this configuration.
        take_over: bool,
    },
    /// Say whether the configuration can be run, with every problem and doubt.
    Check {
        /// The configuration file.
        config: PathBuf,
    },
    /// Say what a reload with another file would change in the running proxy.
    Compare {
        /// Which proxy.
        proxy: RunningProxy,
        /// The file.
        config: PathBuf,
    },
    /// Print the JSON Schema of configuration files.
    Schema,
    /// Ask the running proxy whether it is healthy.
    Healthcheck {
        /// Which proxy.
        proxy: RunningProxy,
    },
    /// Have the running proxy read its configuration again, and wait for the outcome.
    Reload {
        /// Which proxy.
        proxy: RunningProxy,
    },
    /// Have the running proxy drain and end.
    Drain {
        /// Which proxy.
        proxy: RunningProxy,
    },
    /// Set an upstream of the running proxy by hand.
    Steer {
        /// Which proxy.
        proxy: RunningProxy,
        /// How the upstream is called.
        upstream: String,
        /// What to do with it.
        order: Order,
    },
    /// Close tunnels of the running proxy.
    CloseTunnels {
        /// Which proxy.
        proxy: RunningProxy,
        /// Which of them.
        which: TunnelFilter,
    },
    /// Say the level of the running proxy's log, or set another one.
    LogLevel {
        /// Which proxy.
        proxy: RunningProxy,
        /// The new one.
        level: Option<String>,
    },
    /// Show what the running proxy has counted.
    Show {
        /// Which proxy.
        proxy: RunningProxy,
        /// What of it.
        view: View,
        /// Again and again, until this process ends.
        watch: bool,
    },
    /// Show the last requests of the running proxy.
    Requests {
        /// Which proxy.
        proxy: RunningProxy,
        /// Only those that did not go well.
        failed: bool,
        /// As JSON.
        json: bool,
    },
    /// Have the running proxy start its program anew, which takes over.
    Upgrade {
        /// Which proxy.
        proxy: RunningProxy,
    },
    /// Write the last events of the running proxy.
    Record {
        /// Which proxy.
        proxy: RunningProxy,
        /// To a new file; none for standard output.
        out: Option<PathBuf>,
    },
    /// Tell why a request of the running proxy went where it did.
    Explain {
        /// Which proxy.
        proxy: RunningProxy,
        /// The request's number, as the log has it.
        request: RequestId,
        /// As JSON.
        json: bool,
    },
    /// Hash the password on standard input.
    HashPassword,
}

/// What is shown of a running proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The statistics, as the page has them.
    Statistics,
    /// A table of the upstreams.
    Upstreams,
    /// The upstreams as JSON.
    UpstreamsAsJson,
    /// A table of the upstreams' health.
    Health,
    /// The same as JSON.
    HealthAsJson,
    /// A table of the open tunnels.
    Tunnels,
    /// The open tunnels as JSON.
    TunnelsAsJson,
}
