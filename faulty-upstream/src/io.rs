//! Defines what the caller supplies: a byte stream that can be reset, and a listener that can be closed and filled up.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;

use crate::effect::listener::State;

/// A connected byte stream that can also be reset.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {
    /// Closes the stream by a reset (RST) instead of an end in order (FIN).
    fn abort(self);

    /// Who is at the other end, for the journal: an address or the name of a host. `None` if the stream does not know it.
    fn peer(&self) -> Option<String> {
        None
    }
}

impl Duplex for TcpStream {
    fn abort(self) {
        // This fails only where the peer has reset the connection already, and then no reset is needed.
        let _ = self.set_zero_linger();
    }

    fn peer(&self) -> Option<String> {
        self.peer_addr().ok().map(|peer| peer.ip().to_string())
    }
}

/// In-memory pipes have no reset, so the peer sees an end in order.
impl Duplex for DuplexStream {
    fn abort(self) {}
}

/// A listener that can be closed, filled up and opened again.
pub trait Listener {
    /// The streams that it accepts.
    type Stream: Duplex;

    /// Accepts the next connection. It is called only while the listener is open. Cancel safe.
    ///
    /// # Errors
    /// Those of accepting. The listener is still used after an error.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Brings the listener into `state`.
    ///
    /// # Errors
    /// The address is taken, or this listener lacks the state ([`io::ErrorKind::Unsupported`]).
    fn set(&mut self, state: State) -> impl Future<Output = io::Result<()>> + Send;
}
