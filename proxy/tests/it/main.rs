//! The proxy on real sockets: bytes, ends, resets and order. What takes time is proven elsewhere, under paused time.
#![expect(clippy::disallowed_methods, reason = "a test is its own world: it spawns tasks and reads no clock")]
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod auth;
mod balance;
mod binary;
mod bodies;
mod connect;
mod curl;
mod expect;
mod failover;
mod health;
mod hostile;
mod keepalive;
mod names;
mod plain;
mod plain_clients;
mod refusal;
mod retry;
mod secrets;
mod support;
mod timing;
mod tls;
mod tunnel;
mod upgrade;
