//! The environment that ships: sockets, threads, the system's clock and randomness.
//!
//! The only place that names `tokio::net`, splice(2) and the system clock.

pub mod descriptors;
mod splice;

use std::any::Any;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use rand::Rng;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;

use super::relay;
use super::{Busy, Duplex, Early, Env, Listener, RelayEnd, RelayLimits, Stop, Traffic, relay_buffered};
use splice::SplicePump;

/// Connections the kernel may hold for us before we accept them; the system's own cap applies too.
const BACKLOG: u32 = 4096;

/// A peer that vanished without a word is noticed after about two minutes: 60 s idle, then four probes 15 s apart.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);

/// Offloaded jobs that may wait for each core.
const QUEUE_PER_CORE: usize = 64;

/// The operating system.
#[derive(Clone, Debug)]
pub struct Os {
    workers: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

impl Os {
    /// One for this process.
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        Os {
            workers: Arc::new(Semaphore::new(cores)),
            admitted: Arc::new(Semaphore::new(cores * (1 + QUEUE_PER_CORE))),
        }
    }
}

impl Default for Os {
    fn default() -> Self {
        Os::new()
    }
}

/// A TCP connection.
#[derive(Debug)]
pub struct OsStream {
    tcp: TcpStream,
}

impl OsStream {
    fn connected(tcp: TcpStream) -> Self {
        // Can't fail on a live socket, and a dead one is reported by its first read.
        let _ = set_options(SockRef::from(&tcp));
        OsStream { tcp }
    }
}

/// What every connection has: small writes go out at once, and a peer that vanished is noticed.
fn set_options(socket: SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&KEEPALIVE)
}

impl Duplex for OsStream {
    fn abort(self) {
        // Fails only where the connection is gone already, which is what was wanted.
        let _ = self.tcp.set_zero_linger();
    }
}

impl AsyncRead for OsStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for OsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

/// A listening TCP socket.
#[derive(Debug)]
pub struct OsListener {
    tcp: TcpListener,
}

impl Listener for OsListener {
    type Stream = OsStream;

    async fn accept(&mut self) -> io::Result<(OsStream, SocketAddr)> {
        let (tcp, peer) = self.tcp.accept().await?;
        Ok((OsStream { tcp }, peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl Env for Os {
    type Stream = OsStream;
    type Listener = OsListener;

    async fn bind(&self, addr: SocketAddr) -> io::Result<OsListener> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A restart must not wait for the old connections' TIME_WAIT.
        socket.set_reuseaddr(true)?;
        if addr.is_ipv6() && addr.ip().is_unspecified() {
            // `[::]` means every address of either family, whatever the system's default is.
            SockRef::from(&socket).set_only_v6(false)?;
        }
        // Accepted connections inherit them; setting them on each would be five system calls for every client.
        set_options(SockRef::from(&socket))?;
        socket.bind(addr)?;
        Ok(OsListener { tcp: socket.listen(BACKLOG)? })
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<OsStream> {
        TcpStream::connect(addr).await.map(OsStream::connected)
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }

    #[expect(clippy::disallowed_methods, reason = "this is where Env::spawn becomes tokio's")]
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        drop(tokio::spawn(task));
    }

    #[expect(clippy::disallowed_methods, reason = "this is where Env::wall becomes the system clock")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is where Env::rand_u64 becomes the system's randomness")]
    fn rand_u64(&self) -> u64 {
        rand::rng().next_u64()
    }

    fn max_connections(&self) -> NonZeroUsize {
        descriptors::max_connections_for(descriptors::nofile())
    }

    #[expect(clippy::disallowed_methods, reason = "this is where Env::offload becomes a thread")]
    async fn offload<T, F>(&self, job: F) -> Result<T, Busy>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let _admitted = self.admitted.try_acquire().map_err(|_| Busy)?;
        let _worker = self.workers.acquire().await.map_err(|_| Busy)?;
        // A job that panicked has no answer; to the caller that is the same as no room for it.
        tokio::task::spawn_blocking(job).await.map_err(|_| Busy)
    }

    fn relay<C: Duplex, U: Duplex>(
        &self,
        client: C,
        upstream: U,
        early: Early,
        limits: RelayLimits,
        traffic: Arc<Traffic>,
        stop: Stop,
    ) -> impl Future<Output = RelayEnd> + Send {
        // Boxed, so that an idle tunnel holds one of these futures instead of room for all of them.
        let relay: Pin<Box<dyn Future<Output = RelayEnd> + Send>> =
            // A leg with TLS has to be seen by us; two plain sockets can be joined by the kernel.
            match (downcast::<C, OsStream>(client), downcast::<U, OsStream>(upstream)) {
                (Ok(client), Ok(upstream)) => {
                    let pumps =
                        (SplicePump::starting_with(&early.to_upstream), SplicePump::starting_with(&early.to_client));
                    Box::pin(relay::relay(client, upstream, pumps, limits, traffic, stop))
                }
                (Ok(client), Err(upstream)) => {
                    Box::pin(relay_buffered(client, upstream, early, limits, traffic, stop))
                }
                (Err(client), Ok(upstream)) => {
                    Box::pin(relay_buffered(client, upstream, early, limits, traffic, stop))
                }
                (Err(client), Err(upstream)) => {
                    Box::pin(relay_buffered(client, upstream, early, limits, traffic, stop))
                }
            };
        relay
    }
}

/// `value` as a `B`, where that is what it is.
fn downcast<A: Any, B: Any>(value: A) -> Result<B, A> {
    let mut slot = Some(value);
    let found = (&mut slot as &mut dyn Any).downcast_mut::<Option<B>>().and_then(Option::take);
    match (found, slot) {
        (Some(found), _) => Ok(found),
        (None, Some(value)) => Err(value),
        // Taking leaves `slot` empty only where it was found.
        (None, None) => unreachable!("a value is either found or left"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn both_legs_send_at_once_and_notice_a_vanished_peer() {
        let os = Os::new();
        let mut listener = os.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let connected = os.connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        for stream in [connected, accepted] {
            let socket = SockRef::from(&stream.tcp);
            assert!(socket.tcp_nodelay().unwrap());
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(15));
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
        }
    }
}
