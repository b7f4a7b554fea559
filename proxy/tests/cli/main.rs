//! Tests the proxy as a process: arguments, exit codes, PID file, signals, reloads.
#![expect(clippy::unwrap_used, reason = "in a test a failed step is a failed test")]

mod commands;
mod deploy;
mod ends;
mod hand_over;
mod log;
mod pid_file;
mod questions;
mod record;
mod reload;
mod service;
mod steer;
mod support;
mod tunnels;
