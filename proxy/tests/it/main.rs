//! Tests the proxy on real sockets: bytes, ends, resets and order. What takes time is proven under paused time.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test is its own world: it spawns tasks, reads no clock, and fails where it can't go on"
)]

mod http;
mod process;
mod reports;
mod support;
mod tunnels;
mod upstreams;
