//! The proxy on real sockets: bytes, ends, resets and order. What takes time is proven elsewhere, under paused time.
#![expect(clippy::disallowed_methods, reason = "a test is its own world: it spawns tasks and reads no clock")]
#![expect(clippy::unwrap_used, reason = "in a test a failed step is a failed test")]

mod connect;
mod drain;
mod pages;
mod reload;
mod stats;
mod support;
