//! Makes a process of a turmoil network a host for the proxy and for programs.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::machine::SimHost;
use super::stream::{SimListener, SimStream};
use crate::world::simulated::host::SimulatedHost;

impl SimulatedHost for SimHost {
    type Stream = SimStream;
    type Listener = SimListener;

    async fn bind(&self, address: SocketAddr) -> io::Result<SimListener> {
        SimListener::bind(self.clone(), address).await
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<SimStream> {
        SimStream::connect(self, address).await
    }

    fn resolve(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.addresses_of(name)
    }

    fn start(&self, task: impl Future<Output = ()> + 'static) {
        self.task(task).start();
    }
}
