//! An environment in memory, for tests under paused time: nothing in it waits for anything but time and other tasks,
//! so the clock moves on exactly when everything stands still.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

use super::{Busy, Duplex, Early, Env, Listener, RelayEnd, RelayLimits, Stop, Traffic, relay_buffered};

/// Bytes that a connection holds each way before its writer has to wait.
pub(crate) const CONNECTION_BYTES: usize = 16 * 1024;

/// A network of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<Network>);

#[derive(Debug, Default)]
struct Network {
    listeners: Mutex<BTreeMap<SocketAddr, mpsc::UnboundedSender<Waiting>>>,
    accepted: AtomicUsize,
    /// Accepts that are to fail before the next one succeeds.
    failing: AtomicUsize,
    random: AtomicU64,
}

type Waiting = (MemoryStream, SocketAddr);

impl Memory {
    /// Connections that listeners have taken so far.
    pub(crate) fn accepted(&self) -> usize {
        self.0.accepted.load(Ordering::SeqCst)
    }

    /// Has the next `count` accepts fail for want of descriptors, though somebody waits.
    pub(crate) fn fail_accepts(&self, count: usize) {
        self.0.failing.store(count, Ordering::SeqCst);
    }

    /// Failures that are left.
    pub(crate) fn failures_left(&self) -> usize {
        self.0.failing.load(Ordering::SeqCst)
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct MemoryStream {
    bytes: DuplexStream,
    /// Both ends': whether either was reset.
    reset: Arc<AtomicBool>,
}

impl MemoryStream {
    fn pair() -> (Self, Self) {
        let (one, other) = tokio::io::duplex(CONNECTION_BYTES);
        let reset = Arc::new(AtomicBool::new(false));
        (MemoryStream { bytes: one, reset: Arc::clone(&reset) }, MemoryStream { bytes: other, reset })
    }

    fn alive(&self) -> io::Result<()> {
        if self.reset.load(Ordering::SeqCst) { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl Duplex for MemoryStream {
    fn abort(self) {
        self.reset.store(true, Ordering::SeqCst);
    }
}

impl AsyncRead for MemoryStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.bytes).poll_read(cx, buf))?;
        Poll::Ready(if buf.filled().len() == before { self.alive() } else { Ok(()) })
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.alive()?;
        Pin::new(&mut self.bytes).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(cx)
    }
}

/// Takes connections as they come.
#[derive(Debug)]
pub(crate) struct MemoryListener {
    address: SocketAddr,
    waiting: mpsc::UnboundedReceiver<Waiting>,
    network: Memory,
}

impl Listener for MemoryListener {
    type Stream = MemoryStream;

    async fn accept(&mut self) -> io::Result<Waiting> {
        let failing = &self.network.0.failing;
        if !self.waiting.is_empty() && failing.load(Ordering::SeqCst) > 0 {
            failing.fetch_sub(1, Ordering::SeqCst);
            return Err(io::Error::other("too many open files"));
        }
        let accepted = self.waiting.recv().await.ok_or(io::ErrorKind::NotConnected)?;
        self.network.0.accepted.fetch_add(1, Ordering::SeqCst);
        Ok(accepted)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Env for Memory {
    type Stream = MemoryStream;
    type Listener = MemoryListener;

    async fn bind(&self, address: SocketAddr) -> io::Result<MemoryListener> {
        let (sender, waiting) = mpsc::unbounded_channel();
        self.0.listeners.lock().unwrap().insert(address, sender);
        Ok(MemoryListener { address, waiting, network: self.clone() })
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<MemoryStream> {
        let (ours, theirs) = MemoryStream::pair();
        let listeners = self.0.listeners.lock().unwrap();
        let listener = listeners.get(&address).ok_or(io::ErrorKind::ConnectionRefused)?;
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        listener.send((theirs, from)).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(ours)
    }

    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        Err(io::ErrorKind::NotFound.into())
    }

    #[expect(clippy::disallowed_methods, reason = "a test's tasks run on its own runtime")]
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        drop(tokio::spawn(task));
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
    }

    fn rand_u64(&self) -> u64 {
        self.0.random.fetch_add(1, Ordering::SeqCst)
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
