//! A listener of the proxy fails to accept now and then.

use std::io;
use std::net::SocketAddr;

use proxy::env::Listener;

use super::machine::Machine;
use super::stream::ChancyStream;

/// A listener on a machine that sometimes runs out of descriptors.
pub(in crate::world::simulated) struct ChancyListener<L: Listener> {
    inner: L,
    machine: Machine,
    /// The connection that could not be accepted. It is still in the backlog.
    waits: Option<(L::Stream, SocketAddr)>,
}

impl<L: Listener> ChancyListener<L> {
    pub(in crate::world::simulated) fn new(inner: L, machine: Machine) -> Self {
        ChancyListener { inner, machine, waits: None }
    }
}

impl<L: Listener> Listener for ChancyListener<L> {
    type Stream = ChancyStream<L::Stream>;

    async fn accept(&mut self) -> io::Result<(Self::Stream, SocketAddr)> {
        // Nothing is awaited between taking the connection and returning it, so that none is lost if the caller drops this future.
        let (stream, peer) = match self.waits.take() {
            Some(waiting) => waiting,
            None => self.inner.accept().await?,
        };
        match self.machine.accept_error().map_or_else(|| self.machine.descriptor("accept"), Err) {
            Ok(descriptor) => Ok((ChancyStream::new(stream, descriptor), peer)),
            Err(error) => {
                self.waits = Some((stream, peer));
                Err(error)
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}
