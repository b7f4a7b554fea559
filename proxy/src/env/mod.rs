//! The seam between the proxy and the world: everything that differs between production and simulation.
//!
//! Static dispatch, nothing boxed on the byte path. `os` is the only implementation that ships; the simulator
//! brings its own. Intervals use `tokio::time`, which follows paused time, so clocks are not part of this.

pub mod os;
mod relay;

use std::any::Any;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

pub use relay::relay_buffered;

/// A connected byte stream that can also be reset.
pub trait Duplex: AsyncRead + AsyncWrite + Any + Send + Unpin + 'static {
    /// Drops the stream so that the peer sees a reset (RST), not an orderly end.
    fn abort(self);
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

    /// Where it is bound; tells the port where 0 was asked for.
    ///
    /// # Errors
    /// Those of getsockname(2).
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// The world a proxy runs in.
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

    /// The wall clock, for stamps only.
    fn wall(&self) -> SystemTime;

    /// A random number; seeded in simulation.
    fn rand_u64(&self) -> u64;

    /// How many client connections there is room for, where the configuration does not say. A world that counts no
    /// descriptors has room for 65,536.
    fn max_connections(&self) -> NonZeroUsize {
        const { NonZeroUsize::new(65_536).unwrap() }
    }

    /// Runs `job` off the runtime's threads (password hashing). At most one a core at a time, a bounded queue behind them.
    ///
    /// # Errors
    /// [`Busy`] when the queue is full; the job has not run then.
    fn offload<T, F>(&self, job: F) -> impl Future<Output = Result<T, Busy>> + Send
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static;

    /// Carries bytes both ways until both directions ended, one side failed, a limit passed or `stop` fired.
    ///
    /// An end of stream is passed on as one, a reset as a reset.
    fn relay<C: Duplex, U: Duplex>(
        &self,
        client: C,
        upstream: U,
        early: Early,
        limits: RelayLimits,
        traffic: Arc<Traffic>,
        stop: Stop,
    ) -> impl Future<Output = RelayEnd> + Send;
}

/// There was no room for another offloaded job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// Bytes that were read from one side before the relay began; they go out first.
#[derive(Debug, Default)]
pub struct Early {
    /// What the client sent behind its CONNECT head.
    pub to_upstream: Bytes,
    /// What the upstream sent behind its 2xx head.
    pub to_client: Bytes,
}

/// When a relay ends by itself.
#[derive(Clone, Copy, Debug)]
pub struct RelayLimits {
    /// No byte either way for this long.
    pub idle: Duration,
    /// No byte for this long after one direction has ended.
    pub half_closed: Duration,
}

/// Bytes delivered one way, readable while more are.
#[derive(Debug, Default)]
pub struct Counter {
    own: AtomicU64,
    /// The same bytes, summed with others'.
    sum: Option<Arc<AtomicU64>>,
}

impl Counter {
    /// One whose bytes are added to `sum` as well.
    pub fn within(sum: Arc<AtomicU64>) -> Self {
        Counter { own: AtomicU64::new(0), sum: Some(sum) }
    }

    /// `bytes` more.
    pub fn add(&self, bytes: u64) {
        self.own.fetch_add(bytes, Ordering::Relaxed);
        if let Some(sum) = &self.sum {
            sum.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }
}

/// Bytes that a relay has delivered.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Client to upstream.
    pub up: Counter,
    /// Upstream to client.
    pub down: Counter,
    /// The upstream ended its direction, in order, while the client's was still open.
    pub upstream_ended_first: AtomicBool,
}

impl Traffic {
    /// `(up, down)` at this moment.
    pub fn read(&self) -> (u64, u64) {
        (self.up.get(), self.down.get())
    }
}

/// How a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayEnd {
    /// Both directions ended in order.
    Closed,
    /// The client's side failed (reset, or closed under our writes).
    ClientReset,
    /// The upstream's side failed.
    UpstreamReset,
    /// The upstream ended in order and took nothing more: what a target does that hangs up, so nobody's failure.
    UpstreamClosed,
    /// [`RelayLimits::idle`] passed.
    Idle,
    /// [`RelayLimits::half_closed`] passed.
    HalfClosedIdle,
    /// The stop signal fired; both sides were reset.
    Stopped,
}

impl RelayEnd {
    /// Its name in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            RelayEnd::Closed => "closed",
            RelayEnd::ClientReset => "client_reset",
            RelayEnd::UpstreamReset => "upstream_reset",
            RelayEnd::UpstreamClosed => "upstream_closed",
            RelayEnd::Idle => "idle",
            RelayEnd::HalfClosedIdle => "half_closed_idle",
            RelayEnd::Stopped => "stopped",
        }
    }
}

/// A signal that fires once and stays fired; every clone hears it, in the order they began to wait.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<StopState>);

#[derive(Debug, Default)]
struct StopState {
    fired: AtomicBool,
    waiters: Notify,
}

impl Stop {
    /// One that has not fired.
    pub fn new() -> Self {
        Stop::default()
    }

    /// Fires it. Doing so again changes nothing.
    pub fn fire(&self) {
        self.0.fired.store(true, Ordering::Release);
        self.0.waiters.notify_waiters();
    }

    /// Whether it has fired.
    pub fn fired(&self) -> bool {
        self.0.fired.load(Ordering::Acquire)
    }

    /// Waits until it has fired. Cancel safe.
    pub async fn wait(&self) {
        let notified = self.0.waiters.notified();
        let mut notified = pin!(notified);
        // Registered before the flag is read, so that a fire in between is not missed.
        notified.as_mut().enable();
        if !self.fired() {
            notified.await;
        }
    }
}
