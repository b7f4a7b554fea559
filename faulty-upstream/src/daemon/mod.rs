//! Holds what only the binary needs: command line, control of another process.

pub(crate) mod cli;
pub(crate) mod ctl;
