//! The proxy's environment in the simulated network.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use proxy::env::{Busy, Duplex, Early, Env, RelayEnd, RelayLimits, Stop, Traffic, relay_buffered};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

use super::host::{self, HostName};
use super::stream::{SimListener, SimStream, connect};
use super::{Sim, with_world};

/// What every clock on a wall says when a scenario begins: 2026-01-01, in milliseconds of the Unix epoch.
const BEGINS_AT: u64 = 1_767_225_600_000;

/// A wall clock: virtual time, and the jumps that a scenario makes it do.
#[derive(Clone, Debug)]
pub struct WallClock(Arc<Wall>);

#[derive(Debug)]
struct Wall {
    started: Instant,
    jumped_ms: AtomicI64,
}

impl WallClock {
    /// What it says.
    pub fn now(&self) -> SystemTime {
        let elapsed = self.0.started.elapsed();
        let jumped = self.0.jumped_ms.load(Ordering::Relaxed);
        let base = Duration::from_millis(BEGINS_AT.saturating_add_signed(jumped));
        SystemTime::UNIX_EPOCH + base + elapsed
    }

    /// Sets it forward, or back.
    pub fn jump(&self, milliseconds: i64) {
        self.0.jumped_ms.fetch_add(milliseconds, Ordering::Relaxed);
    }
}

/// A host of the simulated network, as the proxy sees the world.
#[derive(Clone, Debug)]
pub struct SimEnv {
    host: usize,
    wall: WallClock,
    random: Arc<Mutex<ChaCha8Rng>>,
}

impl Sim {
    /// A wall clock that starts now.
    pub fn wall_clock(&self) -> WallClock {
        let started = with_world(|world| world.started);
        WallClock(Arc::new(Wall { started, jumped_ms: AtomicI64::new(0) }))
    }

    /// The environment of `host`.
    pub fn env(&self, host: &HostName, wall: WallClock, seed: u64) -> SimEnv {
        let host = with_world(|world| world.hosts.index(host));
        SimEnv { host, wall, random: Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed))) }
    }
}

impl Env for SimEnv {
    type Stream = SimStream;
    type Listener = SimListener;

    async fn bind(&self, addr: SocketAddr) -> io::Result<SimListener> {
        SimListener::bind(addr).await
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<SimStream> {
        connect(addr).await
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let known: Option<Vec<IpAddr>> = with_world(|world| world.names.get(host).cloned());
        let known = known.filter(|addresses| !addresses.is_empty());
        let known = known.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name is not known"))?;
        Ok(known.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        host::spawn(self.host, task);
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
