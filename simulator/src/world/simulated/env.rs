//! Implements the proxy's environment on a simulated host, for all simulated engines.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use proxy::env::{Busy, Env};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::chance::{ChancyListener, ChancyStream, Machine, Route, route};
use super::host::SimulatedHost;
use crate::world::wall_clock::WallClock;

/// The environment of a proxy on a simulated host.
#[derive(Clone)]
pub(super) struct SimEnv<H> {
    host: H,
    wall: WallClock,
    random: Arc<Mutex<ChaCha8Rng>>,
    machine: Machine,
}

impl<H: SimulatedHost> SimEnv<H> {
    /// The environment of a process on `host`. Its random numbers follow from `seed`.
    pub(super) fn new(host: H, wall: WallClock, seed: u64, machine: Machine) -> Self {
        SimEnv { host, wall, random: Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed))), machine }
    }

    /// The machine on which the proxy runs.
    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }
}

impl<H: SimulatedHost> Env for SimEnv<H> {
    type Stream = ChancyStream<H::Stream>;
    type Listener = ChancyListener<H::Listener>;

    async fn bind(&self, addr: SocketAddr) -> io::Result<Self::Listener> {
        Ok(ChancyListener::new(self.host.bind(addr).await?, self.machine.clone()))
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<Self::Stream> {
        match route(addr) {
            Route::To(addr) => {
                let descriptor = self.machine.descriptor("connect")?;
                Ok(ChancyStream::new(SimulatedHost::connect(&self.host, addr).await?, descriptor))
            }
            Route::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
            Route::Silent => std::future::pending().await,
        }
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        wait(self.machine.lookup_takes()).await;
        let known = self.host.resolve(host).filter(|addresses| !addresses.is_empty());
        let known = known.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name is not known"))?;
        let known = self.machine.lookup(host, known)?;
        Ok(known.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.host.start(task);
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
        wait(self.machine.offload().ok_or(Busy)?).await;
        Ok(job())
    }
}

/// Waits for `span`. If it is zero, it returns without giving up its turn.
async fn wait(span: Duration) {
    if !span.is_zero() {
        tokio::time::sleep(span).await;
    }
}
