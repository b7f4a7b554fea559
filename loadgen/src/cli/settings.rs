//! What a command line asks for, checked as far as it can be without the network.

use std::path::Path;
use std::time::Duration;

use loadgen::inject::{Doing, Fault};
use loadgen::report::Reports;
use loadgen::run::{Settings, Verify, Witnesses};
use loadgen::sockets::Trust;
use loadgen::workload::Draw;
use loadgen::{Action, Mix, Pace, Stage, Stop, User, Workload, quantity, workload};

use super::run_args::{FaultKind, RunArgs, Stages};

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
        let shared = |text: &String| workload::shared(text).map_err(|error| format!("--do {text}: {error}"));
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
        let seed = self.seed.unwrap_or_else(fresh_seed);
        let mut workload = Workload::new(seed, pace, Stop { requests: self.requests, after: span }, mix);
        workload.id_prefix = format!("r{:06x}x", seed & 0xff_ffff);
        workload.users = users;
        workload.timeout = self.timeout;
        workload.max_in_flight = max_in_flight;
        workload.exit_from = self.exit_from;
        let doing = match (self.fault, self.fault_command) {
            (Some(FaultKind::Kill), _) => Some(Doing::Kill),
            (Some(FaultKind::Hang), _) => Some(Doing::Hang),
            (Some(FaultKind::Reset), _) => Some(Doing::Reset),
            (Some(FaultKind::BrownOut), _) => Some(Doing::BrownOut { delay: self.brown_out }),
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

/// A seed that no other run has, for runs that were given none.
fn fresh_seed() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the binary is where randomness comes in; the seed is printed")]
    let now = std::time::SystemTime::now();
    let nanos = now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    Draw::new(nanos, u64::from(std::process::id())).below(1 << 48)
}
