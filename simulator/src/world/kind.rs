//! The kinds of engines: each says what it can't play, and plays scenarios.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::director::play;
use super::engine::{Engine, RunsProxy};
use super::live::{self, Live};
use super::simulated::turmoil::Turmoil;
use super::simulated::turmoil_net::TurmoilNet;
use crate::record::RunRecord;
use crate::scenario::Scenario;
use crate::subject::Subject;

/// The kinds of engines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// A simulated network of packets, on turmoil-net.
    #[default]
    TurmoilNet,
    /// turmoil's own network of connections.
    Turmoil,
    /// Real sockets on loopback, in real time, and the proxy's own binary.
    Live,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

impl EngineKind {
    /// What `scenario` asks for and this engine can't do.
    pub fn unsupported(self, scenario: &Scenario) -> Vec<String> {
        self.unsupported_with(&Subject::netdrift(), scenario)
    }

    /// What `scenario` asks for and this engine can't do, or `subject` can't.
    pub fn unsupported_with(self, subject: &Subject, scenario: &Scenario) -> Vec<String> {
        let mut all = match self {
            EngineKind::TurmoilNet => TurmoilNet::unsupported(scenario),
            EngineKind::Turmoil => Turmoil::unsupported(scenario),
            EngineKind::Live => Live::unsupported(scenario),
        };
        if self != EngineKind::Live && !subject.tells() {
            let title = &subject.file().title;
            all.push(format!("subject: {title} is a program, and only the engine live runs programs"));
        }
        all.extend(subject.unsupported(scenario));
        all
    }

    /// Checks that the machine has what the engine needs: for the live engine, the binary of `subject`.
    ///
    /// # Errors
    /// The binary is missing. The text says how to get it.
    pub fn prepare(self, subject: &Subject) -> io::Result<()> {
        match self {
            EngineKind::TurmoilNet | EngineKind::Turmoil => Ok(()),
            EngineKind::Live => live::is_installed(subject),
        }
    }

    /// How late this engine may do what is due before an expectation on time fails.
    pub const fn tolerance(self) -> Duration {
        match self {
            EngineKind::TurmoilNet => TurmoilNet::TOLERANCE,
            EngineKind::Turmoil => Turmoil::TOLERANCE,
            EngineKind::Live => Live::TOLERANCE,
        }
    }

    /// Plays `scenario` with `seed`.
    ///
    /// # Errors
    /// The engine can't do what the scenario asks for, or the machine lacks something. The texts name it.
    pub fn play(self, scenario: &Scenario, seed: u64) -> Result<RunRecord, Vec<String>> {
        self.play_with(&Subject::netdrift(), scenario, seed)
    }

    /// Plays `scenario` with `seed`, and with `subject` as the proxy.
    ///
    /// # Errors
    /// The engine or the subject can't do what the scenario asks for, or the machine lacks something. The texts name it.
    pub fn play_with(self, subject: &Arc<Subject>, scenario: &Scenario, seed: u64) -> Result<RunRecord, Vec<String>> {
        self.play_and(subject, scenario, seed, false)
    }

    /// Plays `scenario` with its own seed, and leaves the proxy's own log in the record as well, all of it. A simulated proxy has none.
    ///
    /// # Errors
    /// The engine can't do what the scenario asks for, or the machine lacks something. The texts name it.
    pub fn play_and_keep_log(self, scenario: &Scenario) -> Result<RunRecord, Vec<String>> {
        self.play_and(&Subject::netdrift(), scenario, scenario.seed, true)
    }

    fn play_and(
        self,
        subject: &Arc<Subject>,
        scenario: &Scenario,
        seed: u64,
        keeps_log: bool,
    ) -> Result<RunRecord, Vec<String>> {
        let unsupported = self.unsupported_with(subject, scenario);
        if !unsupported.is_empty() {
            return Err(unsupported);
        }
        match self {
            EngineKind::TurmoilNet => play_on::<TurmoilNet>(subject, scenario, seed, keeps_log),
            EngineKind::Turmoil => play_on::<Turmoil>(subject, scenario, seed, keeps_log),
            EngineKind::Live => play_on::<Live>(subject, scenario, seed, keeps_log),
        }
    }
}

fn play_on<E: RunsProxy>(
    subject: &Arc<Subject>,
    scenario: &Scenario,
    seed: u64,
    keeps_log: bool,
) -> Result<RunRecord, Vec<String>> {
    play::<E>(subject, scenario, seed, keeps_log).map_err(|error| vec![format!("this machine can't play it: {error}")])
}
