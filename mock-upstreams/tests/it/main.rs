//! Tests mock upstreams on real sockets, on in-memory pipes under paused time, and as a process.

#![expect(clippy::unwrap_used, reason = "in a test a failed step is a failed test")]

mod connect;
mod example;
mod plain;
mod process;
mod support;
mod targets;
