//! The director plays a scenario in an engine: it starts the hosts, follows the timeline, and ends the run.

mod convergence;
mod epilogue;
mod play;
mod stage;
mod timeline;

pub(super) use play::play;
