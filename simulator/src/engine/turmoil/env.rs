//! The proxy's environment in the simulated network.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use proxy::env::{Busy, Duplex, Early, Env, RelayEnd, RelayLimits, Stop, Traffic, relay_buffered};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::host::SimHost;
use super::stream::{SimListener, SimStream};
use crate::engine::{Host, WallClock};

/// A host of the simulated network, as the proxy sees the world.
#[derive(Clone, Debug)]
pub struct SimEnv {
    host: SimHost,
    wall: WallClock,
    random: Arc<Mutex<ChaCha8Rng>>,
}

impl SimEnv {
    /// That of a process on `host`.
    pub(super) fn new(host: SimHost, wall: WallClock, seed: u64) -> Self {
        SimEnv { host, wall, random: Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed))) }
    }
}

impl Env for SimEnv {
    type Stream = SimStream;
    type Listener = SimListener;

    async fn bind(&self, addr: SocketAddr) -> io::Result<SimListener> {
        SimListener::bind(self.host.clone(), addr).await
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<SimStream> {
        SimStream::connect(&self.host, addr).await
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let known = self.host.resolve(host);
        let known = known.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name is not known"))?;
        Ok(known.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        Host::spawn(&self.host, task);
    }

    fn wall(&self) -> SystemTime {
        self.wall.now()
    }

    fn rand_u64(&self) -> u64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    async fn offload<T, F>(&self, job: F) -> Result<T, Busy>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        Ok(job())
    }

    async fn relay<C: Duplex, U: Duplex>(
        &self,
        client: C,
        upstream: U,
        early: Early,
        limits: RelayLimits,
        traffic: Arc<Traffic>,
        stop: Stop,
    ) -> RelayEnd {
        relay_buffered(client, upstream, early, limits, traffic, stop).await
    }
}
