//! The proxy on real sockets: bytes, ends, resets and order. What takes time is proven elsewhere, under paused time.
#![expect(clippy::disallowed_methods, reason = "a test is its own world: it spawns tasks and reads no clock")]

mod bodies;
mod connect;
mod expect;
mod keepalive;
mod plain;
mod plain_clients;
mod retry;
mod support;
mod upgrade;
