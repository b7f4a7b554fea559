//! What a command line asks for, checked as far as it can be without the network.

use std::path::{Path, PathBuf};
use std::time::Duration;

use loadgen::verdict::expect::Expect;
use loadgen::{Action, Mix, Pace, Stage, Stop, User, Workload, action, quantity};

use serde_json::json;

use super::{FaultKind, RunArgs, Stages};
use crate::fault::{Doing, ENTRY, Fault};

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

fn lines(path: &Path) -> Result<Vec<String>, String> {
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
                let stages = if stages.len() == 1 { String::new() } else { format!(" in {} stages", stages.len()) };
                format!("open loop{stages}, {kind}, at most {max_in_flight} at once")
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
            (Some(FaultKind::Kill), _) => Some(Doing::Kill),
            (Some(FaultKind::Hang), _) => Some(Doing::Hang),
            (Some(FaultKind::Reset), _) => {
                Some(Doing::Plan { name: "reset", entry: json!({ "id": ENTRY, "fault": "accept-reset" }) })
            }
            (Some(FaultKind::BrownOut), _) => {
                let delay = json!({ "delay": format!("{}ms", self.brown_out.as_millis()) });
                let entry = json!({ "id": ENTRY, "fault": "reply-late", "with": delay });
                Some(Doing::Plan { name: "brown-out", entry })
            }
            (None, Some(begin)) => Some(Doing::Commands { begin, end: self.heal_command }),
            (None, None) => None,
        };
        if self.verify_failover && doing.is_none() {
            return Err("--verify-failover needs a fault: --victim-command with --fault, or --fault-command".to_owned());
        }
        let end = match &workload.pace {
            Pace::Open { stages, .. } => stages.iter().map(|stage| stage.span).sum(),
            Pace::Closed { .. } => Duration::MAX,
        };
        let end = workload.stop.after.map_or(end, |after| end.min(after));
        let last = self.fault_at.saturating_add(self.fault_for.unwrap_or_default());
        if doing.is_some() && last >= end {
            let (last, end) = (quantity::show(last), quantity::show(end));
            return Err(format!(
                "the fault's begin or end at {last} (--fault-at, --fault-for) is not before the load's end at {end}"
            ));
        }
        if let (Some(doing), Some(victim)) = (&doing, &self.victim) {
            let span =
                self.fault_for.map_or_else(|| "to the end".to_owned(), |span| format!("for {}", quantity::show(span)));
            words.push(format!("{doing} of {victim} at {}, {span}", quantity::show(self.fault_at)));
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
