//! Tests the proxy on real sockets: bytes, ends, resets and order. What takes time is proven under paused time.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test is its own world: it spawns tasks, reads no clock, and fails where it can't go on"
)]

mod auth;
mod balance;
mod binary;
mod blame;
mod bodies;
mod causes;
mod checks;
mod connect;
mod curl;
mod drain;
mod expect;
mod failover;
mod health;
mod hostile;
mod keepalive;
mod lenient;
mod limits;
mod names;
mod pages;
mod plain;
mod plain_clients;
mod probes;
mod refusal;
mod reload;
mod retry;
mod secrets;
mod stats;
mod support;
mod timing;
mod tls;
mod tunnel;
mod upgrade;
