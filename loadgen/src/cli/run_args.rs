//! Declares the arguments of `loadgen run`.

use std::path::PathBuf;
use std::time::Duration;

use loadgen::quantity;
use loadgen::verdict::threshold::Threshold;
use loadgen::watch::StatisticsOf;
use loadgen::workload::{ExitFrom, Stages, User};

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The proxy.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) proxy: String,
    /// What requests do, repeatable for a mix: connect, echo, upload, download, hold, http, tls; README.md has the options.
    #[arg(long = "do", value_name = "[SHARE*]ACTION[:OPTION,…]", default_value = "connect")]
    pub(super) actions: Vec<String>,
    /// Targets (host:port, one a line) that take the place of the actions' own; {id} in them is the request's id.
    #[arg(long, value_name = "FILE")]
    pub(super) targets: Option<PathBuf>,
    /// A user of the proxy, repeatable; one is drawn for each request.
    #[arg(long = "user", value_name = "NAME:PASSWORD")]
    pub(super) users: Vec<User>,
    /// More users, one a line.
    #[arg(long = "users", value_name = "FILE")]
    pub(super) users_file: Option<PathBuf>,

    /// Closed loop: so many clients, each with one request at a time. The default, with 10.
    #[arg(long, value_name = "N", help_heading = "Pace", conflicts_with_all = ["rate", "stages"])]
    pub(super) clients: Option<usize>,
    /// Open loop: requests in a second, whatever becomes of them.
    #[arg(long, value_name = "N", value_parser = quantity::rate, help_heading = "Pace", conflicts_with = "stages")]
    pub(super) rate: Option<u64>,
    /// Open loop in stages: 100x10s (constant), 100..500x30s (ramp), with commas between.
    #[arg(long, value_name = "STAGES", help_heading = "Pace")]
    pub(super) stages: Option<Stages>,
    /// Open loop: independent arrivals instead of even ones.
    #[arg(long, help_heading = "Pace")]
    pub(super) poisson: bool,
    /// Closed loop: the pause of a client between requests.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, default_value = "0s", help_heading = "Pace")]
    pub(super) think: Duration,
    /// Closed loop: the clients begin spread over this time.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, default_value = "0s", help_heading = "Pace")]
    pub(super) ramp_up: Duration,
    /// Ends after so many requests.
    #[arg(long, value_name = "N", help_heading = "Pace")]
    pub(super) requests: Option<u64>,
    /// Ends after this time; 10s where neither this, --requests nor --stages says when.
    #[arg(long = "for", value_name = "TIME", value_parser = quantity::duration, help_heading = "Pace")]
    pub(super) span: Option<Duration>,

    /// The longest a request may take.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, default_value = "30s")]
    pub(super) timeout: Duration,
    /// Open loop: at most so many requests at once; the others wait, and their wait counts.
    #[arg(long, value_name = "N", default_value_t = 4096)]
    pub(super) max_in_flight: usize,
    /// Threads; as many as there are cores by default.
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<usize>,
    /// Repeats a run's draws.
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// TLS targets: trust the certificates in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub(super) ca: Option<PathBuf>,
    /// TLS targets: trust anyone.
    #[arg(long, conflicts_with = "ca", help_heading = "TLS")]
    pub(super) insecure: bool,
    /// Starts without trying one request for each user first.
    #[arg(long)]
    pub(super) no_probe: bool,

    /// Judges shares against weights, by --weight, --upstream or the proxy's statistics.
    #[arg(long, help_heading = "Verdicts")]
    pub(super) verify_weights: bool,
    /// Reconciles every request between client, the proxy's statistics and the upstreams' journals.
    #[arg(long, help_heading = "Verdicts")]
    pub(super) verify_ledger: bool,
    /// Judges what a fault in mid-run cost: needs --victim and a fault.
    #[arg(long, requires = "victim", help_heading = "Verdicts")]
    pub(super) verify_failover: bool,
    /// A threshold, repeatable: 'p99 < 20ms', 'errors == 0', 'rate > 5000', 'connect.p99 < 1ms', 'detect < 2s'.
    #[arg(long = "expect", value_name = "EXPECTATION", help_heading = "Verdicts")]
    pub(super) expects: Vec<Threshold>,

    /// Where the proxy's statistics are: a path, or a URL where they have an address of their own. Left out: where those proxies usually
    /// have them.
    #[arg(long, value_name = "PATH|URL", value_parser = place, help_heading = "Witnesses")]
    pub(super) stats: Option<(Option<String>, String)>,
    /// Whose statistics they are.
    #[arg(long, value_name = "PROXY", default_value = "netdrift", help_heading = "Witnesses")]
    pub(super) stats_of: StatisticsOf,
    /// A mock upstream that may be asked for its counts and journal, with its weight, repeatable.
    #[arg(long = "upstream", value_name = "HOST:PORT[=WEIGHT]", value_parser = named_weight, help_heading = "Witnesses")]
    pub(super) upstreams: Vec<(String, Option<u64>)>,
    /// A journal file of upstreams, repeatable; instead of asking them.
    #[arg(long = "journal", value_name = "FILE", help_heading = "Witnesses")]
    pub(super) journals: Vec<PathBuf>,
    /// Where a response says through which upstream it came: header:NAME, json:FIELD or body.
    #[arg(long, value_name = "WHERE", help_heading = "Witnesses")]
    pub(super) exit_from: Option<ExitFrom>,
    /// An exit's weight, repeatable; for pools that can't be seen into.
    #[arg(long = "weight", value_name = "EXIT=WEIGHT", value_parser = named_weight, requires = "exit_from", help_heading = "Witnesses")]
    pub(super) weights: Vec<(String, Option<u64>)>,

    /// The proxy's process: its memory and descriptors are watched.
    #[arg(long, value_name = "PID", help_heading = "Witnesses")]
    pub(super) pid: Option<u32>,
    /// Growth of its memory counts from then on.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, default_value = "0s", requires = "pid", help_heading = "Witnesses")]
    pub(super) warm_up: Duration,

    /// The upstream that shall fail, as the proxy's statistics name it (host:port).
    #[arg(long, value_name = "HOST:PORT", help_heading = "Fault")]
    pub(super) victim: Option<String>,
    /// The command that runs it; loadgen starts it, and stops it at the end.
    #[arg(long, value_name = "COMMAND", help_heading = "Fault")]
    pub(super) victim_command: Option<String>,
    /// What is done to the started victim.
    #[arg(
        long,
        value_name = "FAULT",
        value_enum,
        requires = "victim_command",
        conflicts_with = "fault_command",
        help_heading = "Fault"
    )]
    pub(super) fault: Option<FaultArg>,
    /// How late replies are in a brown-out.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, default_value = "5s", help_heading = "Fault")]
    pub(super) brown_out: Duration,
    /// A command that does the fault instead.
    #[arg(long, value_name = "COMMAND", help_heading = "Fault")]
    pub(super) fault_command: Option<String>,
    /// A command that ends it.
    #[arg(long, value_name = "COMMAND", requires = "fault_command", help_heading = "Fault")]
    pub(super) heal_command: Option<String>,
    /// When it begins.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, default_value = "3s", help_heading = "Fault")]
    pub(super) fault_at: Duration,
    /// How long it lasts; to the end by default.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, help_heading = "Fault")]
    pub(super) fault_for: Option<Duration>,

    /// Writes the report as JSON, for `loadgen compare`.
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub(super) json: Option<PathBuf>,
    /// Writes it as one HTML page with plots.
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub(super) html: Option<PathBuf>,
    /// Writes it as Markdown.
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub(super) markdown: Option<PathBuf>,
    /// Writes the verdicts as JUnit's XML.
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub(super) junit: Option<PathBuf>,
    /// No progress while it runs.
    #[arg(long)]
    pub(super) quiet: bool,
}

/// What `--fault` may say.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum FaultArg {
    /// Killed, and started again.
    Kill,
    /// Stopped (SIGSTOP): it accepts and says nothing.
    Hang,
    /// The victim is a faulty upstream: it resets each new connection.
    Reset,
    /// The victim is a faulty upstream: it replies late (--brown-out).
    BrownOut,
}

/// A path, or an address and a path.
fn place(text: &str) -> Result<(Option<String>, String), String> {
    if text.starts_with('/') {
        return Ok((None, text.to_owned()));
    }
    let rest =
        text.strip_prefix("http://").ok_or_else(|| format!("`{text}`: expected /PATH or http://HOST:PORT/PATH"))?;
    let (address, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    Ok((Some(address.to_owned()), path.to_owned()))
}

fn named_weight(text: &str) -> Result<(String, Option<u64>), String> {
    let Some((name, weight)) = text.rsplit_once('=') else { return Ok((text.to_owned(), None)) };
    let weight = weight.parse().map_err(|_| format!("`{text}`: the weight behind = is no number"))?;
    Ok((name.to_owned(), Some(weight)))
}
