//! This room is about incidents: a day that was recorded from the proxy's log as a scenario, with what was seen on it.
//!
//! [`record`] makes a scenario of a log, [`Fidelity`] holds its replay against what was seen, and [`what_if`] plays it under other settings.
//! [`of_live_log`] does the first two with the log of a run on real sockets. [`first`] makes a scenario of a configuration alone, for who has no log yet.

mod day;
mod fidelity;
mod first;
mod key;
mod live;
mod log;
mod notes;
mod recording;
mod settings;
mod what_if;

pub use fidelity::{Fidelity, Figure};
pub use first::{First, first};
pub use key::Key;
pub use live::of_live_log;
pub use recording::{REQUESTS, Recording, record};
pub use what_if::{Bound, Candidate, Compared, Course, Figures, LEVEL, Spread, Under, WhatIf, figures_of, what_if};
