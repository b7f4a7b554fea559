//! A world in memory, so that time can stand still: connections, names and a clock that jumps to the next deadline.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use proxy::Proxy;
use proxy::env::{Busy, Duplex, Early, Env, Listener, RelayEnd, RelayLimits, Stop, Traffic, relay_buffered};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Client, Config, Ear};

/// What one direction of a connection holds.
const BUFFER: usize = 64 * 1024;

/// Runs a test whose clock jumps from deadline to deadline; it needs no watchdog, since a wait for nothing shows as
/// one for a year.
pub(crate) fn run_paused(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let year = Duration::from_secs(31_557_600);
    runtime.block_on(async { tokio::time::timeout(year, test).await.expect("the test waits for nothing") });
}

/// One end of a connection.
pub(crate) struct Stream {
    bytes: DuplexStream,
    reset: Arc<AtomicBool>,
}

fn pair() -> (Stream, Stream) {
    let (one, other) = tokio::io::duplex(BUFFER);
    let reset = Arc::new(AtomicBool::new(false));
    (Stream { bytes: one, reset: Arc::clone(&reset) }, Stream { bytes: other, reset })
}

impl Duplex for Stream {
    fn abort(self) {
        self.reset.store(true, Ordering::SeqCst);
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.bytes).poll_read(cx, buf);
        let ended = polled.is_ready() && buf.filled().len() == before;
        if ended && self.reset.load(Ordering::SeqCst) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.bytes).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(cx)
    }
}

type Script = Arc<dyn Fn(Client<Stream>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What happens to whoever connects to an address.
#[derive(Clone)]
enum Place {
    /// Accepted after this long and served by the script.
    Serving(Duration, Script),
    /// Never answered.
    Vanishing,
}

/// What the resolver does.
#[derive(Clone)]
pub(crate) enum Names {
    /// Answers.
    Are(Vec<SocketAddr>),
    /// Fails at once.
    Fail,
    /// Never answers.
    Hang,
}

/// The world.
#[derive(Clone)]
pub(crate) struct Memory(Arc<Inner>);

struct Inner {
    places: Mutex<BTreeMap<SocketAddr, Place>>,
    names: Mutex<Names>,
    began: Instant,
    dialled: Mutex<Vec<(Duration, SocketAddr)>>,
    resolved: Mutex<Vec<Duration>>,
    door: mpsc::UnboundedSender<Stream>,
    arrivals: Mutex<Option<mpsc::UnboundedReceiver<Stream>>>,
}

impl Memory {
    /// An empty one: every address refuses, every name is unknown. All its random numbers are 0.
    pub(crate) fn new() -> Self {
        let (door, arrivals) = mpsc::unbounded_channel();
        Memory(Arc::new(Inner {
            places: Mutex::default(),
            names: Mutex::new(Names::Fail),
            began: Instant::now(),
            dialled: Mutex::default(),
            resolved: Mutex::default(),
            door,
            arrivals: Mutex::new(Some(arrivals)),
        }))
    }

    /// Serves each connection to `addr` by `script`, after `delay`.
    pub(crate) fn serve<F, Fut>(&self, addr: SocketAddr, delay: Duration, script: F)
    where
        F: Fn(Client<Stream>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let place = Place::Serving(delay, Arc::new(move |peer| Box::pin(script(peer))));
        self.0.places.lock().unwrap().insert(addr, place);
    }

    /// Lets connections to `addr` vanish.
    pub(crate) fn vanish(&self, addr: SocketAddr) {
        self.0.places.lock().unwrap().insert(addr, Place::Vanishing);
    }

    /// Refuses connections to `addr`, as every address does that was never served.
    pub(crate) fn refuse(&self, addr: SocketAddr) {
        self.0.places.lock().unwrap().remove(&addr);
    }

    /// What names are from now on.
    pub(crate) fn names(&self, names: Names) {
        *self.0.names.lock().unwrap() = names;
    }

    /// Who was dialled when, in order.
    pub(crate) fn dialled(&self) -> Vec<(Duration, SocketAddr)> {
        self.0.dialled.lock().unwrap().clone()
    }

    /// When names were asked for.
    pub(crate) fn resolved(&self) -> Vec<Duration> {
        self.0.resolved.lock().unwrap().clone()
    }

    /// Time since the world began.
    pub(crate) fn now(&self) -> Duration {
        self.0.began.elapsed()
    }

    /// Starts a proxy in it.
    pub(crate) async fn start(&self, config: Config) -> (Proxy<Memory>, Ear) {
        let ear = Ear::default();
        (Proxy::start(config, self.clone(), Arc::new(ear.clone())).await.unwrap(), ear)
    }

    /// A client connected to the proxy.
    pub(crate) fn client(&self) -> Client<Stream> {
        let (ours, theirs) = pair();
        self.0.door.send(theirs).unwrap();
        Client::on(ours)
    }
}

impl Client<Stream> {
    /// Drops the connection with a reset.
    pub(crate) fn abort(self) {
        self.stream.abort();
    }
}

/// Yields the clients of a [`Memory`].
pub(crate) struct Door(mpsc::UnboundedReceiver<Stream>, SocketAddr);

impl Listener for Door {
    type Stream = Stream;

    async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        let stream = self.0.recv().await.ok_or(io::ErrorKind::NotConnected)?;
        Ok((stream, SocketAddr::from(([127, 0, 0, 1], 40_000))))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.1)
    }
}

impl Env for Memory {
    type Stream = Stream;
    type Listener = Door;

    async fn bind(&self, addr: SocketAddr) -> io::Result<Door> {
        let arrivals = self.0.arrivals.lock().unwrap().take();
        Ok(Door(arrivals.ok_or(io::ErrorKind::AddrInUse)?, addr))
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<Stream> {
        self.0.dialled.lock().unwrap().push((self.now(), addr));
        let place = self.0.places.lock().unwrap().get(&addr).cloned();
        match place {
            None => Err(io::ErrorKind::ConnectionRefused.into()),
            Some(Place::Vanishing) => std::future::pending().await,
            Some(Place::Serving(delay, script)) => {
                tokio::time::sleep(delay).await;
                let (ours, theirs) = pair();
                tokio::spawn(script(Client::on(theirs)));
                Ok(ours)
            }
        }
    }

    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        self.0.resolved.lock().unwrap().push(self.now());
        let names = self.0.names.lock().unwrap().clone();
        match names {
            Names::Are(addresses) => Ok(addresses),
            Names::Fail => Err(io::ErrorKind::NotFound.into()),
            Names::Hang => std::future::pending().await,
        }
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        drop(tokio::spawn(task));
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn rand_u64(&self) -> u64 {
        0
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
