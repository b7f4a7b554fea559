//! Wraps TCP sockets of the operating system, with the options that every connection has.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::env::{Duplex, Listener};

/// A peer that vanished without a word is noticed after about two minutes: 60 s idle, then four probes 15 s apart.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);

/// A TCP connection.
#[derive(Debug)]
pub struct OsStream {
    pub(super) tcp: TcpStream,
}

/// Connects to `addr`.
///
/// As [`TcpStream::connect`] does, but the socket is asked for its error only where the system has told of one: a call less
/// for each connection.
pub(super) async fn connect(addr: SocketAddr) -> io::Result<OsStream> {
    let socket = unconnected(addr)?;
    match rustix::net::connect(&socket, &addr) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let tcp = TcpStream::from_std(socket.into())?;
    if tcp.ready(Interest::WRITABLE | Interest::ERROR).await?.is_error()
        && let Some(error) = tcp.take_error()?
    {
        return Err(error);
    }
    // Can't fail on a live socket, and a dead one is reported by its first read.
    let _ = tcp.set_nodelay(true);
    Ok(OsStream { tcp })
}

/// A socket of the family of `addr`.
fn unconnected(addr: SocketAddr) -> io::Result<OwnedFd> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    // We speak first: what we say acknowledges the handshake, and the upstream has a packet less, and one wake-up for both.
    answer_before_acknowledging(&socket);
    Ok(socket)
}

/// What every accepted connection inherits from its listener: small writes go out at once, and a peer that vanished is
/// noticed.
pub(super) fn set_options(socket: SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&KEEPALIVE)
}

/// Lets an acknowledgement ride on what is sent next, at most 200 ms later, as nearly every first packet is answered by one of ours: a packet
/// less for each connection. Whoever is accepted by `socket` inherits it, if it listens already.
pub(super) fn answer_before_acknowledging(socket: impl AsFd) {
    // A system that lacks it sends that packet, and all else is as it was.
    let _ = rustix::net::sockopt::set_tcp_quickack(socket, false);
}

impl Duplex for OsStream {
    const ENDS_WHEN_DROPPED: bool = true;

    fn expect_more(&self) {
        // Fails only where the connection is gone.
        let _ = rustix::net::sockopt::set_tcp_quickack(&self.tcp, true);
    }

    fn watch(&self) {
        // Can't fail on a live socket, and a dead one is reported by its first read.
        let _ = SockRef::from(&self.tcp).set_tcp_keepalive(&KEEPALIVE);
    }

    fn say_last(&self) {
        // Fails only where the connection is gone. What waits is sent when the socket is closed, or after 200 ms.
        let _ = rustix::net::sockopt::set_tcp_cork(&self.tcp, true);
    }

    fn abort(self) {
        // Fails only where the connection is gone already, which is what was wanted.
        let _ = self.tcp.set_zero_linger();
    }

    async fn sent(&self) {
        let socket = SockRef::from(&self.tcp);
        // From now on "writable" means that no byte waits for the peer's window; registered anew, since the runtime's
        // own registration hears only of changes.
        let twin = socket.set_tcp_notsent_lowat(1).and_then(|()| self.tcp.as_fd().try_clone_to_owned());
        if let Ok(twin) = twin.and_then(|twin| TcpStream::from_std(twin.into())) {
            // Fails only where the connection is gone.
            let _ = twin.writable().await;
        }
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
    tcp: Arc<TcpListener>,
}

/// A way to the socket of an [`OsListener`], which does not keep it open: clients are refused once nobody accepts them.
#[derive(Clone, Debug)]
pub struct ListenerHandle(Weak<TcpListener>);

impl ListenerHandle {
    /// The same socket for another process. Whoever of the two accepts a client has it.
    ///
    /// # Errors
    /// Nobody listens any more, or there is no descriptor left.
    pub fn share(&self) -> io::Result<std::net::TcpListener> {
        let tcp = self.0.upgrade().ok_or_else(|| io::Error::other("no client is accepted any more"))?;
        Ok(tcp.as_fd().try_clone_to_owned()?.into())
    }
}

impl OsListener {
    pub(super) fn new(tcp: TcpListener) -> Self {
        OsListener { tcp: Arc::new(tcp) }
    }

    /// A way to this socket while the listener is in use.
    pub fn handle(&self) -> ListenerHandle {
        ListenerHandle(Arc::downgrade(&self.tcp))
    }

    /// Goes on with a socket that another process has opened to listen on `wanted`.
    ///
    /// # Errors
    /// It does not listen, or elsewhere: what is written of `wanted` (who may reach it, and whether they need a password) may
    /// be wrong for another address. Else what the system says.
    pub fn inherit(socket: std::net::TcpListener, wanted: SocketAddr) -> io::Result<Self> {
        let address = socket.local_addr()?;
        if !rustix::net::sockopt::socket_acceptconn(&socket)? {
            return Err(io::Error::other("the socket that was passed does not listen"));
        }
        if !is_meant(address, wanted) {
            return Err(io::Error::other(format!("the socket that was passed listens on {address}")));
        }
        socket.set_nonblocking(true)?;
        set_options(SockRef::from(&socket))?;
        answer_before_acknowledging(&socket);
        Ok(OsListener::new(TcpListener::from_std(socket)?))
    }
}

/// Whether `address` is what `wanted` asks for: port 0 asks for any, and every address may be every one of either family.
fn is_meant(address: SocketAddr, wanted: SocketAddr) -> bool {
    let same_host = address.ip() == wanted.ip() || address.ip().is_unspecified() && wanted.ip().is_unspecified();
    same_host && (wanted.port() == 0 || address.port() == wanted.port())
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::env::Env;
    use crate::env::os::Os;

    #[tokio::test]
    async fn both_legs_send_at_once_and_notice_a_vanished_peer() {
        let os = Os::new();
        let mut listener = os.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let connected = os.connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        connected.watch();
        for stream in [connected, accepted] {
            let socket = SockRef::from(&stream.tcp);
            assert!(socket.tcp_nodelay().unwrap());
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(15));
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
        }
    }

    #[tokio::test]
    async fn acknowledgements_ride_on_what_we_say_first_until_more_is_expected() {
        use rustix::net::sockopt::{tcp_cork, tcp_quickack};
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let opened = Os::new().bind(any).await.unwrap();
        let passed = OsListener::inherit(std::net::TcpListener::bind(any).unwrap(), any).unwrap();
        for mut listener in [opened, passed] {
            let address = listener.local_addr().unwrap();
            assert!(!tcp_quickack(unconnected(address).unwrap()).unwrap());
            let _client = std::net::TcpStream::connect(address).unwrap();
            let (accepted, _) = listener.accept().await.unwrap();
            assert!(!tcp_quickack(&accepted.tcp).unwrap());
            accepted.expect_more();
            assert!(tcp_quickack(&accepted.tcp).unwrap());
            accepted.say_last();
            assert!(tcp_cork(&accepted.tcp).unwrap());
        }
    }
}
