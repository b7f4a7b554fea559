//! The command line, and what it asks for.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use loadgen::verdict::expect::Expect;
use loadgen::workload::{self, ExitFrom};
use loadgen::{Action, Mix, Pace, Stage, Stop, User, Workload};
use loadgen::{action, quantity};

use crate::fault::Fault;

/// Load for proxies, with a verdict. Exit status: 0 all bounds kept, 1 one missed, 64 wrong usage, 69 can't start.
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
    /// Shows how two runs differ, with a significance test; status 1 where the second is worse.
    Compare(CompareArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// The report of the first run (--json).
    pub(crate) before: PathBuf,
    /// The report of the second.
    pub(crate) after: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The proxy.
    #[arg(long, value_name = "HOST:PORT")]
    proxy: String,
    /// What requests do, repeatable for a mix: connect, echo, upload, download, hold, http, tls; README.md has the options.
    #[arg(long = "do", value_name = "[SHARE*]ACTION[:OPTION,…]", default_value = "connect")]
    actions: Vec<String>,
    /// Targets (host:port, one a line) that take the place of the actions' own; {id} in them is the request's id.
    #[arg(long, value_name = "FILE")]
    targets: Option<PathBuf>,
    /// A user of the proxy, repeatable; one is drawn for each request.
    #[arg(long = "user", value_name = "NAME:PASSWORD", value_parser = User::parse)]
    users: Vec<User>,
    /// More users, one a line.
    #[arg(long = "users", value_name = "FILE")]
    users_file: Option<PathBuf>,

    /// Closed loop: so many clients, each with one request at a time. The default, with 10.
    #[arg(long, value_name = "N", help_heading = "Pace", conflicts_with_all = ["rate", "stages"])]
    clients: Option<usize>,
    /// Open loop: requests in a second, whatever becomes of them.
    #[arg(long, value_name = "N", value_parser = quantity::rate, help_heading = "Pace", conflicts_with = "stages")]
    rate: Option<u64>,
    /// Open loop in stages: 100x10s (constant), 100..500x30s (ramp), with commas between.
    #[arg(long, value_name = "STAGES", value_parser = stages, help_heading = "Pace")]
    stages: Option<Stages>,
    /// Open loop: independent arrivals instead of even ones.
    #[arg(long, help_heading = "Pace")]
    poisson: bool,
    /// Closed loop: the pause of a client between requests.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, default_value = "0s", help_heading = "Pace")]
    think: Duration,
    /// Closed loop: the clients begin spread over this time.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, default_value = "0s", help_heading = "Pace")]
    ramp_up: Duration,
    /// Ends after so many requests.
    #[arg(long, value_name = "N", help_heading = "Pace")]
    requests: Option<u64>,
    /// Ends after this time; 10s where neither this, --requests nor --stages says when.
    #[arg(long = "for", value_name = "TIME", value_parser = quantity::duration, help_heading = "Pace")]
    span: Option<Duration>,

    /// The longest a request may take.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, default_value = "30s")]
    timeout: Duration,
    /// Open loop: at most so many requests at once; the others wait, and their wait counts.
    #[arg(long, value_name = "N", default_value_t = 4096)]
    max_in_flight: usize,
    /// Threads; as many as there are cores by default.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Repeats a run's draws.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// TLS targets: trust the certificates in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    ca: Option<PathBuf>,
    /// TLS targets: trust anyone.
    #[arg(long, conflicts_with = "ca", help_heading = "TLS")]
    insecure: bool,
    /// Starts without trying one request for each user first.
    #[arg(long)]
    no_probe: bool,

    /// Judges shares against weights, by --weight, --upstream or the proxy's statistics.
    #[arg(long, help_heading = "Verdicts")]
    verify_weights: bool,
    /// Reconciles every request between client, the proxy's statistics and the upstreams' journals.
    #[arg(long, help_heading = "Verdicts")]
    verify_ledger: bool,
    /// Judges what a fault in mid-run cost: needs --victim and a fault.
    #[arg(long, requires = "victim", help_heading = "Verdicts")]
    verify_failover: bool,
    /// A threshold, repeatable: 'p99 < 20ms', 'errors == 0', 'rate > 5000', 'connect.p99 < 1ms', 'detect < 2s'.
    #[arg(long = "expect", value_name = "EXPECTATION", help_heading = "Verdicts")]
    expects: Vec<Expect>,

    /// Path of the proxy's statistics.
    #[arg(long, value_name = "PATH", default_value = "/stats", help_heading = "Witnesses")]
    stats: String,
    /// A mock upstream that may be asked for its counts and journal, with its weight, repeatable.
    #[arg(long = "upstream", value_name = "HOST:PORT[=WEIGHT]", value_parser = named_weight, help_heading = "Witnesses")]
    upstreams: Vec<(String, Option<u64>)>,
    /// A journal file of upstreams, repeatable; instead of asking them.
    #[arg(long = "journal", value_name = "FILE", help_heading = "Witnesses")]
    journals: Vec<PathBuf>,
    /// Where a response says through which upstream it came: header:NAME, json:FIELD or body.
    #[arg(long, value_name = "WHERE", value_parser = ExitFrom::parse, help_heading = "Witnesses")]
    exit_from: Option<ExitFrom>,
    /// An exit's weight, repeatable; for pools that can't be seen into.
    #[arg(long = "weight", value_name = "EXIT=WEIGHT", value_parser = named_weight, requires = "exit_from", help_heading = "Witnesses")]
    weights: Vec<(String, Option<u64>)>,

    /// The proxy's process: its memory and descriptors are watched.
    #[arg(long, value_name = "PID", help_heading = "Witnesses")]
    pid: Option<u32>,
    /// Growth of its memory counts from then on.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, default_value = "0s", requires = "pid", help_heading = "Witnesses")]
    warm_up: Duration,

    /// The upstream that shall fail, as the proxy's statistics name it (host:port).
    #[arg(long, value_name = "HOST:PORT", help_heading = "Fault")]
    victim: Option<String>,
    /// The command that runs it; loadgen starts it, and stops it at the end.
    #[arg(long, value_name = "COMMAND", help_heading = "Fault")]
    victim_command: Option<String>,
    /// What is done to the started victim.
    #[arg(
        long,
        value_name = "FAULT",
        value_enum,
        requires = "victim_command",
        conflicts_with = "fault_command",
        help_heading = "Fault"
    )]
    fault: Option<FaultKind>,
    /// A command that does the fault instead (a reset, a brown-out).
    #[arg(long, value_name = "COMMAND", help_heading = "Fault")]
    fault_command: Option<String>,
    /// A command that ends it.
    #[arg(long, value_name = "COMMAND", requires = "fault_command", help_heading = "Fault")]
    heal_command: Option<String>,
    /// When it begins.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, default_value = "3s", help_heading = "Fault")]
    fault_at: Duration,
    /// How long it lasts; to the end by default.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, help_heading = "Fault")]
    fault_for: Option<Duration>,

    /// Writes the report as JSON, for `loadgen compare`.
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    json: Option<PathBuf>,
    /// Writes it as one HTML page with plots.
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    html: Option<PathBuf>,
    /// Writes it as Markdown.
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    markdown: Option<PathBuf>,
    /// Writes the verdicts as JUnit's XML.
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    junit: Option<PathBuf>,
    /// No progress while it runs.
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum FaultKind {
    /// Killed, and started again.
    Kill,
    /// Stopped (SIGSTOP): it accepts and says nothing.
    Hang,
}

/// What a run was asked to do.
pub(crate) struct Settings {
    pub(crate) proxy: String,
    pub(crate) workload: Workload,
    pub(crate) threads: usize,
    pub(crate) trust: Trust,
    pub(crate) probe: bool,
    pub(crate) verify: Verify,
    pub(crate) witnesses: Witnesses,
    pub(crate) fault: Option<Fault>,
    pub(crate) victim: Option<String>,
    pub(crate) reports: Reports,
    pub(crate) quiet: bool,
    /// In words, for the report.
    pub(crate) words: Vec<String>,
}

/// Whose certificates TLS targets may have.
pub(crate) enum Trust {
    System,
    File(PathBuf),
    Anyone,
}

/// Which verdicts are wanted.
pub(crate) struct Verify {
    pub(crate) weights: bool,
    pub(crate) ledger: bool,
    pub(crate) failover: bool,
    pub(crate) expects: Vec<Expect>,
}

/// Who else saw the requests.
pub(crate) struct Witnesses {
    pub(crate) stats: String,
    pub(crate) upstreams: Vec<(String, Option<u64>)>,
    pub(crate) journals: Vec<PathBuf>,
    pub(crate) weights: Vec<(String, u64)>,
    /// The proxy's process, and from when on its memory counts.
    pub(crate) process: Option<(u32, Duration)>,
}

/// Where reports go.
pub(crate) struct Reports {
    pub(crate) json: Option<PathBuf>,
    pub(crate) html: Option<PathBuf>,
    pub(crate) markdown: Option<PathBuf>,
    pub(crate) junit: Option<PathBuf>,
}

#[derive(Clone, Debug)]
struct Stages(Vec<Stage>);

fn stages(text: &str) -> Result<Stages, String> {
    workload::stages(text).map(Stages)
}

fn named_weight(text: &str) -> Result<(String, Option<u64>), String> {
    let Some((name, weight)) = text.rsplit_once('=') else { return Ok((text.to_owned(), None)) };
    let weight = weight.parse().map_err(|_| format!("`{text}`: the weight behind = is no number"))?;
    Ok((name.to_owned(), Some(weight)))
}

fn lines(path: &std::path::Path) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let wanted = |line: &&str| !line.is_empty() && !line.starts_with('#');
    Ok(text.lines().map(str::trim).filter(wanted).map(str::to_owned).collect())
}

impl RunArgs {
    /// What is asked for.
    ///
    /// # Errors
    /// A sentence that says which flag is wrong and what would be right.
    pub(crate) fn settings(self) -> Result<Settings, String> {
        let shared = |text: &String| action::shared(text).map_err(|error| format!("--do {text}: {error}"));
        let mut actions = self.actions.iter().map(shared).collect::<Result<Vec<_>, _>>()?;
        if let Some(path) = &self.targets {
            let targets = lines(path)?;
            let with = |(share, action): &(u32, Action), target: &String| {
                let text = Action { target: target.clone(), ..action.clone() }.to_string();
                text.parse().map(|action| (*share, action)).map_err(|error| format!("{}: {error}", path.display()))
            };
            let each = actions.iter().flat_map(|action| targets.iter().map(move |target| with(action, target)));
            actions = each.collect::<Result<_, String>>()?;
        }
        let (mut users, mut words) = (self.users, Vec::new());
        if let Some(path) = &self.users_file {
            for line in lines(path)? {
                users.push(User::parse(&line).map_err(|error| format!("{}: {error}", path.display()))?);
            }
        }
        words.extend(actions.iter().map(|(share, action)| format!("{share}*{action}")));
        let mix = Mix::new(actions)?;
        if self.verify_ledger && mix.actions().any(|(_, action)| !action.target.contains("{id}")) {
            return Err(
                "--verify-ledger finds requests by the id in their targets: put {id} into each target".to_owned()
            );
        }
        let endless = self.requests.is_none() && self.stages.is_none();
        let span = self.span.or(endless.then_some(Duration::from_secs(10)));
        let pace = match (self.rate, self.stages) {
            (_, Some(Stages(stages))) => Pace::Open { stages, poisson: self.poisson },
            (Some(rate), None) => {
                let span = span.unwrap_or(Duration::from_secs(10 * 365 * 86_400));
                Pace::Open { stages: vec![Stage { from: rate, to: rate, span }], poisson: self.poisson }
            }
            (None, None) if self.poisson => return Err("--poisson is for an open loop: add --rate or --stages".into()),
            (None, None) => {
                Pace::Closed { clients: self.clients.unwrap_or(10).max(1), ramp_up: self.ramp_up, think: self.think }
            }
        };
        let max_in_flight = match &pace {
            Pace::Closed { clients, .. } => *clients,
            Pace::Open { .. } => self.max_in_flight.max(1),
        };
        words.push(match &pace {
            Pace::Closed { clients, .. } => format!("closed loop, {clients} clients"),
            Pace::Open { stages, poisson } => {
                let kind = if *poisson { "independent arrivals" } else { "even arrivals" };
                format!("open loop, {kind}, {} stages, at most {max_in_flight} at once", stages.len())
            }
        });
        let seed = self.seed.unwrap_or_else(crate::sockets::fresh_seed);
        let mut workload = Workload::new(seed, pace, Stop { requests: self.requests, after: span }, mix);
        workload.id_prefix = format!("r{:06x}x", seed & 0xff_ffff);
        workload.users = users;
        workload.timeout = self.timeout;
        workload.max_in_flight = max_in_flight;
        workload.exit_from = self.exit_from;
        let doing = match (self.fault, self.fault_command) {
            (Some(FaultKind::Kill), _) => Some(crate::fault::Doing::Kill),
            (Some(FaultKind::Hang), _) => Some(crate::fault::Doing::Hang),
            (None, Some(begin)) => Some(crate::fault::Doing::Commands { begin, end: self.heal_command }),
            (None, None) => None,
        };
        if self.verify_failover && doing.is_none() {
            return Err("--verify-failover needs a fault: --victim-command with --fault, or --fault-command".to_owned());
        }
        let fault =
            doing.map(|doing| Fault { doing, at: self.fault_at, span: self.fault_for, command: self.victim_command });
        let weight = |(name, weight): (String, Option<u64>)| match weight {
            Some(weight) => Ok((name, weight)),
            None => Err(format!("--weight {name}: expected EXIT=WEIGHT")),
        };
        let weights = self.weights.into_iter().map(weight).collect::<Result<Vec<_>, _>>()?;
        if self.verify_weights && workload.exit_from.is_some() && weights.is_empty() {
            return Err("--verify-weights with --exit-from needs the exits' weights: --weight EXIT=WEIGHT".to_owned());
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Settings {
            proxy: self.proxy,
            workload,
            threads: self.threads.unwrap_or(cores).clamp(1, max_in_flight.min(64)),
            trust: match (self.ca, self.insecure) {
                (Some(path), _) => Trust::File(path),
                (None, true) => Trust::Anyone,
                (None, false) => Trust::System,
            },
            probe: !self.no_probe,
            verify: Verify {
                weights: self.verify_weights,
                ledger: self.verify_ledger,
                failover: self.verify_failover,
                expects: self.expects,
            },
            witnesses: Witnesses {
                process: self.pid.map(|pid| (pid, self.warm_up)),
                stats: self.stats,
                upstreams: self.upstreams,
                journals: self.journals,
                weights,
            },
            fault,
            victim: self.victim,
            reports: Reports { json: self.json, html: self.html, markdown: self.markdown, junit: self.junit },
            quiet: self.quiet,
            words,
        })
    }
}
