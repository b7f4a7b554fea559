//! What the caller supplies: a byte stream that can be reset, and a listener that can be closed and filled up.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;

use crate::effect::listener::State;

/// A connected byte stream that can also be reset.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {
    /// Drops the stream so that the peer sees a reset (RST), not an orderly end.
    fn abort(self);
}

impl Duplex for TcpStream {
    fn abort(self) {
        // The peer has reset it already if this fails, and then a reset needs no sending.
        let _ = self.set_zero_linger();
    }
}

/// In-memory pipes know no reset: the peer sees an end.
impl Duplex for DuplexStream {
    fn abort(self) {}
}

/// A listener that can be closed, opened again and filled up. The caller's world supplies it.
pub trait Listener {
    /// What it yields.
    type Stream: Duplex;

    /// The next connection. Asked only while the listener is open. Cancel safe.
    ///
    /// # Errors
    /// Those of accepting; none of them ends the listener.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Makes it stand as `state` says.
    ///
    /// # Errors
    /// It can't: the address is taken, or this world knows no such state ([`io::ErrorKind::Unsupported`]).
    fn set(&mut self, state: State) -> impl Future<Output = io::Result<()>> + Send;
}
