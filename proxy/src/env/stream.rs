//! Defines what an environment's connections and listeners can do.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};

/// A connected byte stream that can also be reset.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Whether dropping one whose peer has ended its direction ends ours in order too, so that nobody need shut it down first.
    const ENDS_WHEN_DROPPED: bool = false;

    /// Drops the stream so that the peer sees a reset (RST), not an orderly end. What the peer has not received yet is
    /// lost.
    fn abort(self);

    /// From now on a peer that has vanished without a word is to be noticed. Asked for once a connection has stood for a
    /// while, because most are gone before: then it would cost more calls than all else about them.
    fn watch(&self) {}

    /// The peer has more to say before it is answered: what it said is to be acknowledged now. Until then some send no more (RFC 896).
    fn expect_more(&self) {}

    /// What is written from now on is at hand and the last, so that the end of the stream may travel with it.
    fn say_last(&self) {}

    /// Waits until all that was written is on its way to the peer, where the world can tell: a reset takes with it
    /// what is not. Bounds are the caller's.
    fn sent(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// A bound socket that yields streams.
pub trait Listener: Send + 'static {
    /// What it yields.
    type Stream: Duplex;

    /// The next connection and where it came from. Cancel safe.
    ///
    /// # Errors
    /// Those of accept(2), "too many open files" among them; none of them ends the listener.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// The address it is bound to, with the actual port if port 0 was asked for.
    ///
    /// # Errors
    /// Those of getsockname(2).
    fn local_addr(&self) -> io::Result<SocketAddr>;
}
