//! Makes the settings of a run from its arguments, and checks them as far as it can without the network.

use std::path::Path;
use std::time::Duration;

use loadgen::inject::{Fault, FaultMethod};
use loadgen::quantity;
use loadgen::report::ReportFiles;
use loadgen::run::{Settings, WantedVerdicts, Witnesses};
use loadgen::sockets::TargetTrust;
use loadgen::watch::StatisticsPage;
use loadgen::workload::{Action, ActionShare, Draw, Mix, Pace, Stage, Stages, Stop, User, Workload};

use super::run_args::{FaultArg, RunArgs};

/// How long an open loop is that ends by its number of requests.
const ENDLESS: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Reads the lines of a list, without empty ones and comments.
fn lines(path: &Path) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let wanted = |line: &&str| !line.is_empty() && !line.starts_with('#');
    Ok(text.lines().map(str::trim).filter(wanted).map(str::to_owned).collect())
}

impl RunArgs {
    /// Makes the settings that the arguments stand for.
    ///
    /// # Errors
    /// A sentence that says which flag is wrong and what would be right.
    pub(crate) fn settings(self) -> Result<Settings, String> {
        let workload = self.workload()?;
        let method = self.fault_method();
        self.check_verdicts(&workload, method.as_ref())?;
        if method.is_some() {
            self.check_fault_ends_before(load_end(&workload))?;
        }
        let words = self.words(&workload, method.as_ref());
        let weight = |(name, weight): (String, Option<u64>)| match weight {
            Some(weight) => Ok((name, weight)),
            None => Err(format!("--weight {name}: expected EXIT=WEIGHT")),
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Settings {
            proxy: self.proxy,
            threads: self.threads.unwrap_or(cores).clamp(1, workload.max_in_flight.min(64)),
            workload,
            trust: match (self.ca, self.insecure) {
                (Some(path), _) => TargetTrust::File(path),
                (None, true) => TargetTrust::Anyone,
                (None, false) => TargetTrust::System,
            },
            probe: !self.no_probe,
            verdicts: WantedVerdicts {
                weights: self.verify_weights,
                ledger: self.verify_ledger,
                failover: self.verify_failover,
                thresholds: self.expects,
            },
            witnesses: Witnesses {
                process: self.pid.map(|pid| (pid, self.warm_up)),
                statistics: {
                    let (address, path) = self.stats.unwrap_or_else(|| (None, self.stats_of.usual_path().to_owned()));
                    StatisticsPage { of: self.stats_of, address, path }
                },
                upstreams: self.upstreams,
                journals: self.journals,
                weights: self.weights.into_iter().map(weight).collect::<Result<_, _>>()?,
            },
            fault: method.map(|method| Fault {
                method,
                at: self.fault_at,
                span: self.fault_for,
                command: self.victim_command,
            }),
            victim: self.victim,
            reports: ReportFiles { json: self.json, html: self.html, markdown: self.markdown, junit: self.junit },
            quiet: self.quiet,
            words,
        })
    }

    fn workload(&self) -> Result<Workload, String> {
        let mix = Mix::new(self.actions()?)?;
        let users = self.users()?;
        let endless = self.requests.is_none() && self.stages.is_none();
        let after = self.span.or(endless.then_some(Duration::from_secs(10)));
        let pace = self.pace(after)?;
        let seed = self.seed.unwrap_or_else(fresh_seed);
        let max_in_flight = match &pace {
            Pace::Closed { clients, .. } => *clients,
            Pace::Open { .. } | Pace::Listed(_) => self.max_in_flight.max(1),
        };
        let mut workload = Workload::new(seed, pace, Stop { requests: self.requests, after }, mix);
        workload.id_prefix = format!("r{:06x}x", seed & 0xff_ffff);
        workload.users = users;
        workload.timeout = self.timeout;
        workload.max_in_flight = max_in_flight;
        workload.exit_from.clone_from(&self.exit_from);
        Ok(workload)
    }

    /// The actions with their shares; each once with every target, where there is a list of targets.
    fn actions(&self) -> Result<Vec<ActionShare>, String> {
        let read = |text: &String| text.parse().map_err(|error| format!("--do {text}: {error}"));
        let actions = self.actions.iter().map(read).collect::<Result<Vec<ActionShare>, _>>()?;
        let Some(path) = &self.targets else { return Ok(actions) };
        let targets = lines(path)?;
        let with = |entry: &ActionShare, target: &String| {
            let text = Action { target: target.clone(), ..entry.action.clone() }.to_string();
            let action = text.parse().map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(ActionShare { share: entry.share, action })
        };
        actions.iter().flat_map(|action| targets.iter().map(move |target| with(action, target))).collect()
    }

    fn users(&self) -> Result<Vec<User>, String> {
        let mut users = self.users.clone();
        if let Some(path) = &self.users_file {
            for line in lines(path)? {
                users.push(line.parse().map_err(|error| format!("{}: {error}", path.display()))?);
            }
        }
        Ok(users)
    }

    fn pace(&self, span: Option<Duration>) -> Result<Pace, String> {
        match (self.rate, &self.stages) {
            (_, Some(Stages(stages))) => Ok(Pace::Open { stages: stages.clone(), poisson: self.poisson }),
            (Some(rate), None) => {
                let span = span.unwrap_or(ENDLESS);
                Ok(Pace::Open { stages: vec![Stage { from: rate, to: rate, span }], poisson: self.poisson })
            }
            (None, None) if self.poisson => Err("--poisson is for an open loop: add --rate or --stages".into()),
            (None, None) => {
                let clients = self.clients.unwrap_or(10).max(1);
                Ok(Pace::Closed { clients, ramp_up: self.ramp_up, think: self.think })
            }
        }
    }

    fn fault_method(&self) -> Option<FaultMethod> {
        match (self.fault, &self.fault_command) {
            (Some(FaultArg::Kill), _) => Some(FaultMethod::Kill),
            (Some(FaultArg::Hang), _) => Some(FaultMethod::Hang),
            (Some(FaultArg::Reset), _) => Some(FaultMethod::Reset),
            (Some(FaultArg::BrownOut), _) => Some(FaultMethod::BrownOut { delay: self.brown_out }),
            (None, Some(begin)) => Some(FaultMethod::Commands { begin: begin.clone(), end: self.heal_command.clone() }),
            (None, None) => None,
        }
    }

    /// Checks that every verdict that is asked for can be given.
    fn check_verdicts(&self, workload: &Workload, method: Option<&FaultMethod>) -> Result<(), String> {
        if self.verify_ledger && workload.mix.actions().any(|action| !action.target.contains("{id}")) {
            let text = "--verify-ledger finds requests by the id in their targets: put {id} into each target";
            return Err(text.to_owned());
        }
        if self.verify_failover && method.is_none() {
            return Err("--verify-failover needs a fault: --victim-command with --fault, or --fault-command".to_owned());
        }
        if self.verify_weights && self.exit_from.is_some() && self.weights.is_empty() {
            return Err("--verify-weights with --exit-from needs the exits' weights: --weight EXIT=WEIGHT".to_owned());
        }
        Ok(())
    }

    fn check_fault_ends_before(&self, load_end: Duration) -> Result<(), String> {
        let last = self.fault_at.saturating_add(self.fault_for.unwrap_or_default());
        if last < load_end {
            return Ok(());
        }
        let (last, load_end) = (quantity::show(last), quantity::show(load_end));
        Err(format!(
            "the fault's begin or end at {last} (--fault-at, --fault-for) is not before the load's end at {load_end}"
        ))
    }

    /// The settings in words, for the report.
    fn words(&self, workload: &Workload, method: Option<&FaultMethod>) -> Vec<String> {
        let mut words: Vec<_> = workload.mix.entries().iter().map(ToString::to_string).collect();
        words.push(match &workload.pace {
            Pace::Closed { clients, .. } => format!("closed loop, {clients} clients"),
            Pace::Listed(times) => format!("open loop, {} listed arrivals", times.len()),
            Pace::Open { stages, poisson } => {
                let arrivals = if *poisson { "independent arrivals" } else { "even arrivals" };
                let stages = if stages.len() == 1 { String::new() } else { format!(" in {} stages", stages.len()) };
                format!("open loop{stages}, {arrivals}, at most {} at once", workload.max_in_flight)
            }
        });
        if let (Some(method), Some(victim)) = (method, &self.victim) {
            let span =
                self.fault_for.map_or_else(|| "to the end".to_owned(), |span| format!("for {}", quantity::show(span)));
            words.push(format!("{method} of {victim} at {}, {span}", quantity::show(self.fault_at)));
        }
        words
    }
}

/// When the load ends at the latest.
fn load_end(workload: &Workload) -> Duration {
    let end = match &workload.pace {
        Pace::Open { stages, .. } => stages.iter().map(|stage| stage.span).sum(),
        Pace::Listed(times) => times.last().copied().unwrap_or_default(),
        Pace::Closed { .. } => Duration::MAX,
    };
    workload.stop.after.map_or(end, |after| end.min(after))
}

/// Makes a seed that no other run has, for runs that were given none.
fn fresh_seed() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the binary is where randomness comes in; the seed is printed")]
    let now = std::time::SystemTime::now();
    let nanos = now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    Draw::new(nanos, u64::from(std::process::id())).below(1 << 48)
}
