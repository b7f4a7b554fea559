//! Plays scenarios about the production proxy in a simulated network, or on real sockets, and judges what happened.
//!
//! A scenario and a seed give the same run, event for event, on every machine: one thread, virtual time, and every
//! random number from the seed. Only [`world::live`] has the machine's own sockets, clock and random numbers.
//!
//! | Room | Holds | Imports |
//! |---|---|---|
//! | `scenario` | what a scenario file says | |
//! | `subject` | the proxy under test: what its folder says, its configuration, what it lacks | `scenario` |
//! | `record` | what was witnessed in a run: events, the recorder, the trace | `scenario`, `subject` |
//! | `world` | where a scenario is played: engines, hosts, programs, the director | `scenario`, `subject`, `record` |
//! | `conformance` | the requirements of the RFCs addressed to proxies, and their checks over real sockets | `scenario`, `subject`, `record`, `world` |
//! | `judge` | whether a run is as it should be: the history, the laws, the expectations | `scenario`, `subject`, `record`, `world` |
//! | `explore` | many runs: batches, sweeps, shrinking, engines side by side, every fault against every subject | `scenario`, `subject`, `record`, `world`, `judge` |
//! | `incident` | a recorded day: read from the log, held against its replay, played under other settings | `scenario`, `subject`, `record`, `world`, `judge`, `explore` |
//! | `report` | what is shown of runs: text, JSON, JUnit, Markdown, the timeline page | `scenario`, `subject`, `record`, `world`, `conformance`, `judge`, `explore`, `incident` |
//! | `cli` | the command line of the binary, which is not part of the library | `scenario`, `subject`, `world`, `conformance`, `judge`, `explore`, `incident`, `report` |
//!
//! [`judge::run`] plays and judges one scenario; [`judge::LAWS`] must hold in every run, and [`judge::run_with`] adds laws of
//! your own (`examples/custom_law.rs`).

pub mod conformance;
pub mod explore;
pub mod incident;
pub mod judge;
pub mod record;
pub mod report;
pub mod scenario;
pub mod subject;
pub mod world;
