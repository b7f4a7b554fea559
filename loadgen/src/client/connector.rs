//! Where streams to the proxy come from: sockets, in-memory pipes or a simulated network.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// Where streams to the proxy come from. Any `async` closure without arguments is one.
pub trait Net {
    /// What it gives: connected to the proxy.
    type Stream: AsyncRead + AsyncWrite + Unpin;

    /// Connects to the proxy.
    fn connect(&self) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Waits until `at`. The default follows tokio's clock, whose grain is a millisecond.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> {
        tokio::time::sleep_until(at)
    }

    /// TLS settings for targets; without them TLS to a target fails.
    fn tls(&self) -> Option<Arc<rustls::ClientConfig>> {
        None
    }
}

impl<F, Fut, S> Net for F
where
    F: Fn() -> Fut,
    Fut: Future<Output = io::Result<S>>,
    S: AsyncRead + AsyncWrite + Unpin,
{
    type Stream = S;

    fn connect(&self) -> impl Future<Output = io::Result<S>> {
        self()
    }
}
