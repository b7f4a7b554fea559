//! The director plays a scenario in an engine: its hosts, its timeline, and what comes at the end of every run.

mod epilogue;
mod play;
mod stage;
mod timeline;

pub(super) use play::play;
