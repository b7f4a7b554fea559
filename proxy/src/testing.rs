//! Provides an environment in memory, for tests of a proxy under paused time.
//!
//! Nothing in it waits for anything but time and other tasks. Under tokio's paused clock
//! (`#[tokio::test(start_paused = true)]`) time therefore moves on exactly when every task stands still, and a test of
//! a time-out takes no time and always ends the same way.
//!
//! The module is there for this crate's own tests and, with the feature `testing`, for those of other crates:
//!
//! ```toml
//! [dev-dependencies]
//! proxy = { path = "…", features = ["testing"] }
//! ```
//!
//! 1. Create a [`MemoryEnv`]. Every address in it refuses connections, and no name is known.
//! 2. [`bind`](Env::bind) a listener for each upstream, and serve it in a task of your own.
//! 3. Start a [`Proxy`](crate::Proxy) with a clone of the environment, by a configuration that was read [`Nowhere`] else.
//! 4. Connect to the proxy as a client with [`MemoryEnv::client`].

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::Lookup;
use crate::env::{Busy, Duplex, Env, Listener, watched};

/// Has no environment variables and no files, so that a configuration is all that its text says.
#[derive(Clone, Copy, Debug)]
pub struct Nowhere;

impl Lookup for Nowhere {
    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &str) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// How many bytes a connection holds each way before its writer has to wait.
pub const CONNECTION_BYTES: usize = 16 * 1024;

/// An environment in memory: a network of its own, a resolver that the test answers for, and random numbers that are
/// all 0. Clones are the same environment.
#[derive(Clone, Debug)]
pub struct MemoryEnv(Arc<Network>);

/// What the resolver of a [`MemoryEnv`] does with every name.
#[derive(Clone, Debug, Default)]
pub enum Names {
    /// It answers with these addresses.
    Resolve(Vec<SocketAddr>),
    /// It fails at once.
    #[default]
    Fail,
    /// It never answers.
    Hang,
}

#[derive(Debug)]
struct Network {
    addresses: Mutex<BTreeMap<SocketAddr, Address>>,
    names: Mutex<Names>,
    began: Instant,
    connects: Mutex<Vec<(Duration, SocketAddr)>>,
    lookups: Mutex<Vec<Duration>>,
    accepted: AtomicUsize,
    /// How many accepts are to fail before the next one succeeds, and how.
    failing: Mutex<(usize, io::ErrorKind)>,
    /// What the wall clock showed at the beginning, by its present setting.
    clock: Mutex<SystemTime>,
    /// What is drawn.
    random: AtomicU64,
}

/// What happens to those who connect to an address.
#[derive(Clone, Debug)]
enum Address {
    /// They are connected to the listener after this delay.
    Listening { delay: Duration, listener: mpsc::UnboundedSender<Accepted> },
    /// They wait without end.
    BlackHole,
    /// They fail at once.
    Fails(io::ErrorKind),
}

type Accepted = (MemoryStream, SocketAddr);

impl MemoryEnv {
    /// An environment in which every address refuses connections and every name lookup fails.
    pub fn new() -> Self {
        MemoryEnv(Arc::new(Network {
            addresses: Mutex::default(),
            names: Mutex::default(),
            began: Instant::now(),
            connects: Mutex::default(),
            lookups: Mutex::default(),
            accepted: AtomicUsize::new(0),
            failing: Mutex::new((0, io::ErrorKind::Other)),
            clock: Mutex::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)),
            random: AtomicU64::new(0),
        }))
    }

    /// Connects a client to the listener at `address`, at once and without an entry in [`MemoryEnv::connects`].
    ///
    /// # Errors
    /// `ConnectionRefused` if nobody listens there.
    pub fn client(&self, address: SocketAddr) -> io::Result<MemoryStream> {
        match self.addresses().get(&address) {
            Some(Address::Listening { listener, .. }) => hand_over(listener),
            Some(Address::BlackHole | Address::Fails(_)) | None => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    /// Delays every later connection to the listener at `address` by `delay`. Does nothing if nobody listens there.
    pub fn delay(&self, address: SocketAddr, delay: Duration) {
        if let Some(Address::Listening { delay: present, .. }) = self.addresses().get_mut(&address) {
            *present = delay;
        }
    }

    /// Leaves every later connection to `address` without an answer, as a firewall does that drops packets.
    pub fn black_hole(&self, address: SocketAddr) {
        self.addresses().insert(address, Address::BlackHole);
    }

    /// Fails every later connection to `address` with `kind`.
    pub fn fail(&self, address: SocketAddr, kind: io::ErrorKind) {
        self.addresses().insert(address, Address::Fails(kind));
    }

    /// Refuses every later connection to `address`. Connections that stand are not touched.
    pub fn refuse(&self, address: SocketAddr) {
        self.addresses().remove(&address);
    }

    /// Sets what the resolver does from now on.
    pub fn set_names(&self, names: Names) {
        *lock(&self.0.names) = names;
    }

    /// Has every random number be `number` from now on; until then it is 0.
    pub fn set_random(&self, number: u64) {
        self.0.random.store(number, Ordering::SeqCst);
    }

    /// Returns every connection that was tried through [`Env::connect`], in order: when (since the environment was
    /// created) and to which address.
    pub fn connects(&self) -> Vec<(Duration, SocketAddr)> {
        lock(&self.0.connects).clone()
    }

    /// Returns when each name lookup was made, since the environment was created.
    pub fn lookups(&self) -> Vec<Duration> {
        lock(&self.0.lookups).clone()
    }

    /// Returns the time since the environment was created.
    pub fn elapsed(&self) -> Duration {
        self.0.began.elapsed()
    }

    /// Sets the wall clock forward by this much.
    pub fn set_clock_forward(&self, by: Duration) {
        *lock(&self.0.clock) += by;
    }

    /// Returns how many connections the listeners have accepted so far.
    pub fn accepted(&self) -> usize {
        self.0.accepted.load(Ordering::SeqCst)
    }

    /// Makes the next `count` accepts fail with `kind` although a connection waits.
    pub fn fail_accepts(&self, count: usize, kind: io::ErrorKind) {
        *lock(&self.0.failing) = (count, kind);
    }

    /// Returns how many of the failures that [`MemoryEnv::fail_accepts`] ordered are still to come.
    pub fn failing_accepts(&self) -> usize {
        lock(&self.0.failing).0
    }

    fn addresses(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Address>> {
        lock(&self.0.addresses)
    }
}

impl Default for MemoryEnv {
    fn default() -> Self {
        MemoryEnv::new()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives one end of a new connection to the listener and returns the other.
fn hand_over(listener: &mpsc::UnboundedSender<Accepted>) -> io::Result<MemoryStream> {
    let (ours, theirs) = MemoryStream::pair();
    let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
    listener.send((theirs, from)).map_err(|_| io::ErrorKind::ConnectionRefused)?;
    Ok(ours)
}

/// Returns how often this thread has taken a lock of the proxy's that others may want, since it began.
pub fn lock_turns() -> u64 {
    watched::turns()
}

/// Returns for how long such a lock was held at most since this was asked last, by any thread.
pub fn longest_hold() -> Duration {
    watched::longest()
}

/// One end of a connection in memory.
#[derive(Debug)]
pub struct MemoryStream {
    bytes: DuplexStream,
    /// Both ends share it.
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Whether either end has reset the connection.
    reset: AtomicBool,
    more_expected: AtomicUsize,
    last_said: AtomicUsize,
}

impl MemoryStream {
    fn pair() -> (Self, Self) {
        let (one, other) = tokio::io::duplex(CONNECTION_BYTES);
        let shared = Arc::<Shared>::default();
        (MemoryStream { bytes: one, shared: Arc::clone(&shared) }, MemoryStream { bytes: other, shared })
    }

    /// How often [`Duplex::expect_more`] was called on either end.
    pub fn more_expected(&self) -> usize {
        self.shared.more_expected.load(Ordering::SeqCst)
    }

    /// How often [`Duplex::say_last`] was called on either end.
    pub fn last_said(&self) -> usize {
        self.shared.last_said.load(Ordering::SeqCst)
    }

    fn check_reset(&self) -> io::Result<()> {
        if self.shared.reset.load(Ordering::SeqCst) { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl Duplex for MemoryStream {
    fn abort(self) {
        self.shared.reset.store(true, Ordering::SeqCst);
    }

    fn expect_more(&self) {
        self.shared.more_expected.fetch_add(1, Ordering::SeqCst);
    }

    fn say_last(&self) {
        self.shared.last_said.fetch_add(1, Ordering::SeqCst);
    }
}

impl AsyncRead for MemoryStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.bytes).poll_read(cx, buf))?;
        Poll::Ready(if buf.filled().len() == before { self.check_reset() } else { Ok(()) })
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check_reset()?;
        Pin::new(&mut self.bytes).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(cx)
    }
}

/// Accepts the connections to one address of a [`MemoryEnv`]. Binding the address again, or
/// [`MemoryEnv::refuse`], ends it once the connections that wait are accepted.
#[derive(Debug)]
pub struct MemoryListener {
    address: SocketAddr,
    waiting: mpsc::UnboundedReceiver<Accepted>,
    env: MemoryEnv,
}

impl Listener for MemoryListener {
    type Stream = MemoryStream;

    async fn accept(&mut self) -> io::Result<(MemoryStream, SocketAddr)> {
        let network = &self.env.0;
        if !self.waiting.is_empty() {
            let (left, kind) = &mut *lock(&network.failing);
            if *left > 0 {
                *left -= 1;
                return Err((*kind).into());
            }
        }
        let accepted = self.waiting.recv().await.ok_or(io::ErrorKind::NotConnected)?;
        network.accepted.fetch_add(1, Ordering::SeqCst);
        Ok(accepted)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Env for MemoryEnv {
    type Stream = MemoryStream;
    type Listener = MemoryListener;

    async fn bind(&self, address: SocketAddr) -> io::Result<MemoryListener> {
        let (listener, waiting) = mpsc::unbounded_channel();
        self.addresses().insert(address, Address::Listening { delay: Duration::ZERO, listener });
        Ok(MemoryListener { address, waiting, env: self.clone() })
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<MemoryStream> {
        lock(&self.0.connects).push((self.elapsed(), address));
        let found = self.addresses().get(&address).cloned();
        match found {
            None => Err(io::ErrorKind::ConnectionRefused.into()),
            Some(Address::BlackHole) => std::future::pending().await,
            Some(Address::Fails(kind)) => Err(kind.into()),
            Some(Address::Listening { delay, listener }) => {
                tokio::time::sleep(delay).await;
                hand_over(&listener)
            }
        }
    }

    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        lock(&self.0.lookups).push(self.elapsed());
        let names = lock(&self.0.names).clone();
        match names {
            Names::Resolve(addresses) => Ok(addresses),
            Names::Fail => Err(io::ErrorKind::NotFound.into()),
            Names::Hang => std::future::pending().await,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a test's tasks run on its own runtime")]
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        drop(tokio::spawn(task));
    }

    fn wall(&self) -> SystemTime {
        *lock(&self.0.clock) + self.elapsed()
    }

    fn rand_u64(&self) -> u64 {
        self.0.random.load(Ordering::SeqCst)
    }

    async fn offload<T, F>(&self, job: F) -> Result<T, Busy>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        Ok(job())
    }
}
