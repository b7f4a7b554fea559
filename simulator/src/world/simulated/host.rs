//! A simulated host offers sockets, names and tasks to the proxy and to other programs.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use proxy::env::{Duplex, Listener};

use crate::world::engine::Host;

/// A simulated host: what the proxy's environment and all other programs are built on.
pub trait SimulatedHost: Clone + Send + Sync + 'static {
    /// A connection.
    type Stream: Duplex;
    /// A bound socket.
    type Listener: Listener<Stream = Self::Stream>;

    /// Listens on `address`.
    ///
    /// # Errors
    /// The address is taken, or is not an address of this host.
    fn bind(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Connects to `address`.
    ///
    /// # Errors
    /// The connection is refused, or nobody answers.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// The addresses of `name`, or `None` if it is unknown.
    fn resolve(&self, name: &str) -> Option<Vec<IpAddr>>;

    /// Runs `task` on this host.
    fn start(&self, task: impl Future<Output = ()> + 'static);
}

/// Programs other than the proxy run on the same kind of host.
impl<H: SimulatedHost> Host for H
where
    H::Stream: faulty_upstream::Duplex,
    H::Listener: faulty_upstream::Listener<Stream = H::Stream>,
{
    type Stream = H::Stream;
    type Listener = H::Listener;

    async fn connect(&self, address: SocketAddr) -> io::Result<H::Stream> {
        SimulatedHost::connect(self, address).await
    }

    async fn listen(&self, port: u16) -> io::Result<H::Listener> {
        self.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).await
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.start(task);
    }
}
