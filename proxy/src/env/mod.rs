//! Defines the seam between the proxy and its surroundings: all that differs between production and simulation.
//!
//! Static dispatch, nothing boxed on the byte path. `os` is the only implementation that ships; the simulator
//! brings its own. Intervals use `tokio::time`, which follows paused time, so clocks are not part of this.

mod lack;
mod lock;
pub mod os;
mod relay;
mod stop;
mod stream;
mod traffic;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::time::{Duration, SystemTime};

pub(crate) use lack::Lack;
#[cfg(any(test, feature = "testing"))]
pub(crate) use lock::watched;
pub(crate) use lock::{Held, Lock};
pub use relay::{Early, RelayEnd, RelayLimits, Relayed, relay_buffered};
pub use stop::Stop;
pub use stream::{Duplex, Listener};
pub use traffic::{Counter, Traffic};

/// The environment that a proxy runs in.
pub trait Env: Clone + Send + Sync + 'static {
    /// A connection.
    type Stream: Duplex;
    /// A bound socket.
    type Listener: Listener<Stream = Self::Stream>;

    /// Listens on `addr`.
    ///
    /// # Errors
    /// Address in use, not ours, not permitted.
    fn bind(&self, addr: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Connects to `addr`. Dropping the future gives up. Deadlines are the caller's.
    ///
    /// # Errors
    /// Refused, unreachable, out of descriptors.
    fn connect(&self, addr: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// The addresses of a name, in the resolver's order. Literals never come here.
    ///
    /// # Errors
    /// Unknown name, resolver out of reach.
    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Runs `task` beside the others; its end is the caller's to observe.
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F);

    /// The wall clock, for stamps and the dates of certificates only.
    fn wall(&self) -> SystemTime;

    /// A random number; seeded in simulation.
    fn rand_u64(&self) -> u64;

    /// What this process takes of the machine. `None` where there is no process to be told from others.
    fn process(&self) -> Option<ProcessFigures> {
        None
    }

    /// How many client connections there is room for, where the configuration does not say. An environment that
    /// counts no descriptors has room for 65,536.
    fn max_connections(&self) -> NonZeroUsize {
        const { NonZeroUsize::new(65_536).unwrap() }
    }

    /// How many connections to upstreams may be kept unused at a time, over all upstreams.
    fn max_kept(&self) -> usize {
        65_536
    }

    /// Runs `job` off the runtime's threads (password hashing). At most one a core at a time, a bounded queue behind them.
    ///
    /// # Errors
    /// [`Busy`] when the queue is full; the job has not run then.
    fn offload<T, F>(&self, job: F) -> impl Future<Output = Result<T, Busy>> + Send
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static;

    /// Carries bytes both ways between two connections of this environment until both directions have ended, one side
    /// has failed, a limit has passed or `stop` has fired. An end of stream is passed on as one, a reset as a reset, and what
    /// came in front of either is delivered first.
    ///
    /// By default it is [`relay_buffered`], which carries any two streams. An environment with a faster way for its own
    /// connections brings it here, as the operating system does with splice(2).
    ///
    /// The future borrows nothing, so that who holds it need not hold the environment beside it.
    fn relay<T>(
        &self,
        client: Self::Stream,
        upstream: Self::Stream,
        early: Early,
        limits: RelayLimits,
        traffic: T,
        stop: Stop,
    ) -> impl Future<Output = Relayed> + Send + use<Self, T>
    where
        T: Deref<Target = Traffic> + Send + Sync + 'static,
    {
        relay_buffered(client, upstream, early, limits, traffic, stop)
    }
}

/// What a process takes of its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessFigures {
    /// Processor time used so far.
    pub cpu: Duration,
    /// Bytes held in RAM.
    pub memory: u64,
    /// Descriptors that are open.
    pub descriptors: u64,
    /// Descriptors that may be open.
    pub descriptor_limit: u64,
}

/// There was no room for another offloaded job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;
