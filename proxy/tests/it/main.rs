//! The proxy on real sockets: bytes, ends, resets and order. What takes time is proven elsewhere, under paused time.
#![expect(clippy::disallowed_methods, reason = "a test is its own world: it spawns tasks and reads no clock")]
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod balance;
mod connect;
mod curl;
mod failover;
mod health;
mod names;
mod support;
mod timing;
mod tls;
mod tunnel;
