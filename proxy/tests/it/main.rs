//! The proxy on real sockets: bytes, ends, resets and order. What takes time is proven elsewhere, under paused time.
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![expect(clippy::disallowed_methods, reason = "a test is its own world: it spawns tasks and reads no clock")]

mod auth;
mod binary;
mod connect;
mod hostile;
mod limits;
mod refusal;
mod secrets;
mod support;
