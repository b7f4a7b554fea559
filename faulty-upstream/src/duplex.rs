//! The byte stream that faults act on.

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;

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
