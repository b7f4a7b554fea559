//! Holds what only the binary needs: command line, configuration file, PID files.

pub(crate) mod cli;
pub(crate) mod config;
pub(crate) mod pidfile;
