//! Makes a host of the turmoil-net network a host for the proxy and for programs.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::current::{current, enter};
use super::state::with_net;
use super::stream::{SimListener, SimStream, connect};
use super::tasks::spawn;
use crate::scenario::HostName;
use crate::world::simulated::host::SimulatedHost;

/// A host, as the programs on it see it.
#[derive(Clone, Copy, Debug)]
pub(in crate::world) struct SimHost(usize);

impl SimHost {
    /// The host called `name`.
    pub(super) fn named(name: &HostName) -> Self {
        SimHost(with_net(|net| net.hosts.index(name)))
    }

    /// The current host.
    pub(super) fn here() -> Self {
        SimHost(current())
    }

    /// Makes this host the current one.
    pub(super) fn enter(self) {
        enter(self.0);
    }

    /// How many connections the programs of this host hold.
    pub(super) fn connections(self) -> usize {
        with_net(|net| net.hosts.at(self.0).streams)
    }
}

impl SimulatedHost for SimHost {
    type Stream = SimStream;
    type Listener = SimListener;

    async fn bind(&self, address: SocketAddr) -> io::Result<SimListener> {
        SimListener::bind(address).await
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<SimStream> {
        connect(address).await
    }

    fn resolve(&self, name: &str) -> Option<Vec<IpAddr>> {
        with_net(|net| net.names.get(name).cloned())
    }

    fn start(&self, task: impl Future<Output = ()> + 'static) {
        spawn(self.0, task);
    }
}
