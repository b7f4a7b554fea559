//! Holds what only a process on a machine needs, and a simulated proxy does not.

pub mod activation;
pub mod cli;
pub mod control;
pub mod flight;
pub mod log;
mod log_line;
mod log_out;
mod log_queue;
pub mod pidfile;
pub mod serve;
pub mod service_manager;
pub mod view;
pub mod watch;
