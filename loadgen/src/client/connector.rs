//! Defines where streams to the proxy come from: sockets, in-memory pipes or a simulated network.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// Gives streams that are connected to the proxy. Any closure without arguments that returns a future of a stream is one,
/// such as `|| TcpStream::connect(address)`.
pub trait Connector {
    /// A stream that is connected to the proxy.
    type Stream: AsyncRead + AsyncWrite + Unpin;

    /// Opens a stream to the proxy.
    ///
    /// The kind of an error decides which [`FailureKind`](crate::FailureKind) it is.
    fn connect(&self) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Waits until `at`. The default follows tokio's clock, which is exact to a millisecond and can be paused.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> {
        tokio::time::sleep_until(at)
    }

    /// Gives the TLS settings for targets. Without them every request that needs TLS fails.
    fn tls(&self) -> Option<Arc<rustls::ClientConfig>> {
        None
    }
}

impl<F, Fut, S> Connector for F
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
