//! Days are recorded from logs and replayed. The logs are those of simulated runs, written as the proxy writes them.

#![expect(clippy::unwrap_used, reason = "a test that can't build or read what it needs fails")]

mod bad_input;
mod fidelity;
mod log;
mod secrets;
mod what_if;
