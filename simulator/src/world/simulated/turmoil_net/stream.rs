//! The sockets of the simulated network implement the traits for streams and listeners of the proxy and of the doubles.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use faulty_upstream::State;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil_net::shim::tokio::net::{TcpListener, TcpStream};

use super::current;
use super::state::with_net;

/// The size of the kernel's receive buffer. A read always empties it, because the kernel sends a window update only when half
/// of the buffer becomes free at once.
const RECEIVE: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; RECEIVE]);
}

/// A connection. Like an operating system, it resets the connection if it is dropped while there are unread bytes.
#[derive(Debug)]
pub(in crate::world) struct SimStream {
    tcp: TcpStream,
    /// The address at the other end, if that end has opened the connection.
    accepted_from: Option<SocketAddr>,
    /// Bytes that were taken from the kernel and that the program has not read yet.
    unread: Bytes,
    /// Whether the program has read everything up to the peer's FIN. What arrives later was sent twice, and needs no reset.
    ended: bool,
    aborted: bool,
    /// Counts this stream among those of its host.
    _counted: current::Counted,
}

impl SimStream {
    pub(super) fn new(tcp: TcpStream) -> Self {
        SimStream {
            tcp,
            accepted_from: None,
            unread: Bytes::new(),
            ended: false,
            aborted: false,
            _counted: current::Counted::here(),
        }
    }

    fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        Some((self.tcp.local_addr().ok()?, self.tcp.peer_addr().ok()?))
    }

    fn reset(&mut self) {
        self.aborted = true;
        if let Some((local, peer)) = self.ends() {
            with_net(|net| net.reset(local, peer));
        }
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        if self.aborted {
            return;
        }
        if !self.unread.is_empty() {
            self.reset();
        } else if !self.ended
            && let Some((local, peer)) = self.ends()
        {
            with_net(|net| net.wire.closed(local, peer));
        }
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
        let peer = self.accepted_from?;
        with_net(|net| {
            let host = net.hosts.index_at(peer.ip())?;
            Some(net.hosts.at(host).name.to_string())
        })
    }
}

impl AsyncRead for SimStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            let this = &mut *self;
            let more = SCRATCH.with_borrow_mut(|scratch| {
                let mut whole = ReadBuf::new(scratch);
                Pin::new(&mut this.tcp).poll_read(cx, &mut whole).map_ok(|()| {
                    this.ended = whole.filled().is_empty();
                    let (now, later) = whole.filled().split_at(whole.filled().len().min(buf.remaining()));
                    buf.put_slice(now);
                    this.unread = Bytes::copy_from_slice(later);
                })
            });
            return more;
        }
        let count = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..count]);
        self.unread.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// A listening socket.
///
/// The kernel can't bind an address again while it remembers connections of the last listener on it. So a listener that is
/// dropped is parked in the network's state. The wire refuses connections on its behalf, until the next program that listens
/// on that address takes the parked listener over.
#[derive(Debug)]
pub(in crate::world) struct SimListener {
    /// `None` only during the drop.
    tcp: Option<TcpListener>,
    /// The address that the program asked for.
    address: SocketAddr,
    /// The address to which other hosts connect.
    here: SocketAddr,
}

impl SimListener {
    /// Listens on `address`.
    ///
    /// # Errors
    /// The address is taken, or is not an address of this host.
    pub(super) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let here = current::here(address.port());
        let parked = with_net(|net| {
            net.closed_ports.retain(|port| *port != here);
            let place = net.parked.iter().position(|(port, _)| *port == here)?;
            Some(net.parked.remove(place).1)
        });
        let tcp = match parked {
            Some(tcp) => {
                turn_away(&tcp);
                tcp
            }
            None => TcpListener::bind(address).await?,
        };
        let address = tcp.local_addr()?;
        Ok(SimListener { tcp: Some(tcp), address, here })
    }

    async fn next(&self) -> io::Result<(SimStream, SocketAddr)> {
        let Some(tcp) = &self.tcp else { return std::future::pending().await };
        let (stream, peer) = tcp.accept().await?;
        let mut stream = SimStream::new(stream);
        stream.accepted_from = Some(peer);
        Ok((stream, peer))
    }
}

/// Resets all connections that wait in the backlog.
fn turn_away(listener: &TcpListener) {
    while let Poll::Ready(Ok((stream, _))) = listener.poll_accept(&mut Context::from_waker(Waker::noop())) {
        proxy::env::Duplex::abort(SimStream::new(stream));
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        if let Some(tcp) = self.tcp.take() {
            turn_away(&tcp);
            with_net(|net| {
                net.closed_ports.push(self.here);
                net.parked.push((self.here, tcp));
            });
        }
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
        let here = self.here;
        with_net(|net| net.closed_ports.retain(|port| *port != here));
        match state {
            State::Open => Ok(()),
            State::Closed => {
                with_net(|net| net.closed_ports.push(here));
                Ok(())
            }
            State::Full => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the simulated network has no backlog that can be full; hold the link instead",
            )),
        }
    }
}

/// Connects the current host to `address`.
///
/// # Errors
/// The connection is refused, or nobody answers.
pub(super) async fn connect(address: SocketAddr) -> io::Result<SimStream> {
    TcpStream::connect(address).await.map(SimStream::new)
}
