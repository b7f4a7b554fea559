//! Reads the command line of `faulty-upstream`: the original's flags for simple faults, a plan for all others.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use faulty_upstream::plan::{Plan, Problem, parse, parse_entry};
use mock_upstreams::Auth;
use serde_json::json;

use super::ctl;

/// An upstream proxy that goes wrong as a plan says, and alike in every run.
#[derive(Debug, Parser)]
#[command(name = "faulty-upstream", version, max_term_width = 100, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// The subcommand, unless an upstream shall run.
    #[command(subcommand)]
    pub(crate) other: Option<Other>,
    /// The upstream that shall run.
    #[command(flatten)]
    pub(crate) run: Run,
}

/// What can be done besides running an upstream.
#[derive(Debug, Subcommand)]
pub(crate) enum Other {
    /// Print every fault and its settings.
    Catalogue {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Control a running upstream.
    Ctl {
        /// Its admin address.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4027")]
        admin: String,
        /// What to do.
        #[command(subcommand)]
        command: ctl::Command,
    },
}

/// An upstream to run. All flags may be written with one dash.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Port to listen on; 0 lets the system choose.
    #[arg(long, default_value_t = 3027)]
    pub(crate) port: u16,
    /// Port of the admin interface, on loopback; 0 lets the system choose.
    #[arg(long, default_value_t = 4027)]
    pub(crate) admin_port: u16,
    /// Address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) bind: IpAddr,
    /// Its name in the journal, which also goes into every draw [default: faulty-PORT].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Ask for these credentials.
    #[arg(long, value_name = "USER:PASSWORD", value_parser = auth)]
    pub(crate) auth: Option<Auth>,
    /// Speak TLS, with a certificate for this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) tls: Option<String>,
    /// Fault plan (JSON).
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Seed of every draw; beats that of the plan.
    #[arg(long)]
    seed: Option<u64>,
    /// Probability of --fault-type, from 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    failure_rate: f64,
    /// Every reply comes that much later, like "200ms".
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0s")]
    latency: Duration,
    /// And at most that much later still.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0s")]
    jitter: Duration,
    /// What goes wrong.
    #[arg(long, value_enum, default_value_t = FaultType::None)]
    fault_type: FaultType,
    /// Append the journal to this file as JSON lines ("-": standard output).
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
}

/// The values of the original's flag `-fault-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FaultType {
    None,
    Slow,
    Reset,
    Timeout,
    BadGateway,
    InternalError,
}

impl FaultType {
    /// Its name in the catalogue.
    fn fault(self) -> Option<&'static str> {
        match self {
            FaultType::None => None,
            FaultType::Slow => Some("reply-late"),
            FaultType::Reset => Some("reply-reset"),
            FaultType::Timeout => Some("reply-never"),
            FaultType::BadGateway => Some("status-502"),
            FaultType::InternalError => Some("status-500"),
        }
    }
}

fn auth(pair: &str) -> Result<Auth, String> {
    Auth::parse(pair).ok_or_else(|| "must be USER:PASSWORD".to_owned())
}

impl Args {
    /// Parses the command line. The original writes `-failure-rate` for `--failure-rate`, so both are understood.
    ///
    /// # Errors
    /// Those of clap, which also reports `--help` and `--version` as errors.
    pub(crate) fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Args::try_parse_from(words.into_iter().map(two_dashes))
    }
}

fn two_dashes(word: OsString) -> OsString {
    match word.to_str() {
        // It is longer than any short flag, and it is not a negative number.
        Some(text) if text.len() > 2 && text.starts_with('-') && text.as_bytes()[1].is_ascii_alphabetic() => {
            format!("-{text}").into()
        }
        _ => word,
    }
}

impl Run {
    /// The plan of the file, followed by the entries that the flags stand for.
    ///
    /// # Errors
    /// Every problem, each as one line with its place.
    pub(crate) fn plan(&self) -> Result<Plan, Vec<String>> {
        let mut plan = self.plan.as_deref().map_or_else(|| Ok(Plan::new(0)), read_plan)?;
        plan.seed = self.seed.unwrap_or(plan.seed);
        for (flag, entry) in self.flags() {
            let with_place = |problem: &Problem| format!("{flag}: {problem}");
            let entry = parse_entry(&entry.to_string());
            let entry = entry.map_err(|problems| problems.iter().map(with_place).collect::<Vec<_>>())?;
            plan.add(entry).map_err(|text| vec![format!("{flag}: {text}")])?;
        }
        Ok(plan)
    }

    /// The plan entries that the original's flags stand for.
    fn flags(&self) -> Vec<(&'static str, serde_json::Value)> {
        let span = |span: Duration| humantime::format_duration(span).to_string();
        let mut entries = Vec::new();
        if let Some(fault) = self.fault_type.fault() {
            let entry = json!({ "id": "fault-type", "fault": fault, "when": { "probability": self.failure_rate } });
            entries.push(("--fault-type and --failure-rate", entry));
        }
        if !self.latency.is_zero() || !self.jitter.is_zero() {
            let with = json!({ "delay": span(self.latency), "jitter": span(self.jitter) });
            entries.push(("--latency", json!({ "id": "latency-flag", "fault": "reply-late", "with": with })));
        }
        entries
    }
}

fn read_plan(path: &Path) -> Result<Plan, Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|error| vec![format!("{}: {error}", path.display())])?;
    let with_place = |problem: &Problem| format!("{}: {problem}", path.display());
    parse(&text).map_err(|problems| problems.iter().map(with_place).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Run {
        Args::read(["faulty-upstream"].iter().chain(words).map(OsString::from)).unwrap().run
    }

    #[test]
    fn the_originals_flags_work_with_one_dash() {
        let words = ["-port", "9", "-failure-rate", "0.5", "-latency", "20ms", "-jitter=5ms", "-fault-type", "reset"];
        let run = run(&words);
        assert_eq!(run.port, 9);
        let plan = run.plan().unwrap().to_json();
        assert_eq!(plan["faults"][0]["fault"], "reply-reset");
        assert_eq!(plan["faults"][0]["when"], json!({ "probability": 0.5 }));
        assert_eq!(plan["faults"][1]["with"], json!({ "delay": "20ms", "jitter": "5ms" }));
    }

    #[test]
    fn every_kind_of_the_original_is_a_fault_of_the_catalogue() {
        for kind in FaultType::value_variants() {
            let fault = kind.fault();
            assert_eq!(fault.and_then(faulty_upstream::Fault::named).map(|fault| fault.name), fault);
        }
        assert!(run(&["-fault-type", "none"]).plan().unwrap().entries().is_empty());
    }

    #[test]
    fn a_rate_out_of_range_is_refused_with_the_flag() {
        let problems = run(&["-fault-type", "slow", "-failure-rate", "7"]).plan().unwrap_err();
        assert!(problems[0].starts_with("--fault-type and --failure-rate: when.probability"), "{problems:?}");
    }
}
