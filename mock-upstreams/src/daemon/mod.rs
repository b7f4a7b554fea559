//! What only a process on a machine needs: its arguments, its configuration file, its PID files.

pub(crate) mod cli;
pub(crate) mod config;
pub(crate) mod pidfile;
