//! Plays scenarios about the production proxy in a simulated network, or on real sockets, and judges what happened.
//!
//! A scenario and a seed give the same run, event for event, on every machine: one thread, virtual time, and every
//! random number from the seed. Only [`world::live`] has the machine's own sockets, clock and random numbers.
//!
//! | Room | Holds | Imports |
//! |---|---|---|
//! | `scenario` | what a scenario file says | |
//! | `record` | what was witnessed in a run: events, the recorder, the trace | `scenario` |
//! | `world` | where a scenario is played: engines, hosts, programs, the director | `scenario`, `record` |
//! | `judge` | whether a run is as it should be: the history, the laws, the expectations | `scenario`, `record`, `world` |
//! | `explore` | many runs: batches, sweeps, shrinking, engines side by side | `scenario`, `record`, `world`, `judge` |
//! | `incident` | a recorded day: read from the log, held against its replay, played under other settings | `scenario`, `record`, `world`, `judge`, `explore` |
//! | `report` | what is shown of runs: text, JSON, JUnit, Markdown, the timeline page | `scenario`, `record`, `world`, `judge`, `explore`, `incident` |
//! | `cli` | the command line of the binary, which is not part of the library | `scenario`, `world`, `judge`, `explore`, `incident`, `report` |
//!
//! [`judge::run`] plays and judges one scenario; [`judge::LAWS`] must hold in every run, and [`judge::run_with`] adds laws of
//! your own (`examples/custom_law.rs`).

pub mod explore;
pub mod incident;
pub mod judge;
pub mod record;
pub mod report;
pub mod scenario;
pub mod world;
