//! turmoil's sockets implement the traits for streams and listeners of the proxy and of the doubles.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::turmoil::net::{TcpListener, TcpStream};
use faulty_upstream::State;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::line::Line;
use super::machine::{Held, SimHost};

/// How often a writer that waits for room checks whether its reader still exists.
const PROBE: Duration = Duration::from_millis(200);

/// A connection. Like an operating system, it resets the connection if it is dropped while there are unread bytes.
#[derive(Debug)]
pub(in crate::world) struct SimStream {
    tcp: TcpStream,
    /// The address at the other end, if that end has opened the connection.
    accepted_from: Option<SocketAddr>,
    /// The two directions: `come` is read, `go` is written.
    come: Line,
    go: Line,
    /// Whether this side has ended its direction.
    ended: bool,
    /// Whether the peer's reset has been read.
    broken: bool,
    /// When a writer that waits for room checks next.
    probe: Option<Pin<Box<Sleep>>>,
    /// Counts this connection among those of its host.
    held: Held,
}

impl SimStream {
    /// Connects from `host` to `address`.
    ///
    /// # Errors
    /// The connection is refused. If nobody answers, the call never returns.
    pub(super) async fn connect(host: &SimHost, address: SocketAddr) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        let lines = host.lines(tcp.local_addr()?, tcp.peer_addr()?);
        Ok(SimStream::new(host, tcp, lines))
    }

    /// Makes a connection that `host` holds, over the lines `go` and `come`.
    fn new(host: &SimHost, tcp: TcpStream, (go, come): (Line, Line)) -> Self {
        SimStream { tcp, accepted_from: None, come, go, ended: false, broken: false, probe: None, held: host.hold() }
    }

    /// How many bytes may be written now. turmoil does not wake a waiting writer when the connection is reset. So once the reader is gone,
    /// the writer sends a byte now and then, to hear of the reset.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        if let Poll::Ready(room) = self.go.poll_room(cx) {
            self.probe = None;
            return Poll::Ready(room);
        }
        if !self.go.is_read_no_more() {
            return Poll::Pending;
        }
        ready!(self.probe.get_or_insert_with(|| Box::pin(sleep(PROBE))).as_mut().poll(cx));
        self.probe = None;
        Poll::Ready(1)
    }

    fn reset(&mut self) {
        if !self.ended {
            self.ended = true;
            self.go.reset();
        }
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        // When a process is killed, the operating system resets its connections.
        if self.held.is_orphan() {
            self.reset();
        }
        self.come.read_no_more();
    }
}

impl proxy::env::Duplex for SimStream {
    fn abort(mut self) {
        self.reset();
    }
}

impl faulty_upstream::Duplex for SimStream {
    fn abort(mut self) {
        self.reset();
    }

    fn peer(&self) -> Option<String> {
        self.held.host().name_of(self.accepted_from?.ip())
    }
}

impl AsyncRead for SimStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(cx, buf))?;
        let count = buf.filled().len() - before;
        if count == 0 && self.come.is_reset() {
            self.broken = true;
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        self.come.read(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = ready!(self.poll_room(cx)).min(buf.len());
        let count = ready!(Pin::new(&mut self.tcp).poll_write(cx, &buf[..room]))?;
        self.go.wrote(count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A second shutdown is an error for turmoil, but not for an operating system.
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut self.tcp).poll_shutdown(cx))?;
        self.ended = true;
        Poll::Ready(Ok(()))
    }
}

/// A listening socket.
pub(in crate::world) struct SimListener {
    host: SimHost,
    address: SocketAddr,
    /// `None` while it is closed. Then connections are refused.
    tcp: Option<TcpListener>,
}

impl SimListener {
    /// Listens on `address` of `host`.
    ///
    /// # Errors
    /// The address is taken, or turmoil can't bind it.
    pub(super) async fn bind(host: SimHost, address: SocketAddr) -> io::Result<Self> {
        if address.is_ipv6() {
            return Err(io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                format!("{address}: hosts here have IPv4 only"),
            ));
        }
        let tcp = TcpListener::bind(address).await?;
        Ok(SimListener { host, address: tcp.local_addr()?, tcp: Some(tcp) })
    }

    async fn next(&self) -> io::Result<(SimStream, SocketAddr)> {
        let Some(tcp) = &self.tcp else { return std::future::pending().await };
        let (tcp, peer) = tcp.accept().await?;
        let (come, go) = self.host.lay_lines(peer, tcp.local_addr()?);
        let mut stream = SimStream::new(&self.host, tcp, (go, come));
        stream.accepted_from = Some(peer);
        Ok((stream, peer))
    }
}

impl proxy::env::Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&mut self) -> io::Result<(SimStream, SocketAddr)> {
        self.next().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl faulty_upstream::Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&mut self) -> io::Result<SimStream> {
        Ok(self.next().await?.0)
    }

    async fn set(&mut self, state: State) -> io::Result<()> {
        match state {
            State::Closed => self.tcp = None,
            // In turmoil a client waits until it is accepted. A full listener accepts nobody.
            State::Open | State::Full if self.tcp.is_none() => self.tcp = Some(TcpListener::bind(self.address).await?),
            State::Open | State::Full => {}
        }
        Ok(())
    }
}
