//! The proxy on real sockets: bytes, ends, resets and order. What takes time is proven elsewhere, under paused time.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test is its own world: it spawns tasks, reads no clock, and what it can't do without fails it"
)]

mod bodies;
mod connect;
mod expect;
mod keepalive;
mod plain;
mod plain_clients;
mod retry;
mod support;
mod upgrade;
