//! Real sockets know to which process they belong, and are reset when it is killed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use faulty_upstream::listen::SocketListener;
use faulty_upstream::{Duplex, Listener, State};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Tells whether a process was killed. All clones tell of the same process.
#[derive(Clone, Debug, Default)]
pub(super) struct Killed(Arc<AtomicBool>);

impl Killed {
    pub(super) fn kill(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection. It is reset if its process was killed when it is dropped.
#[derive(Debug)]
pub struct LiveStream {
    tcp: TcpStream,
    killed: Killed,
}

impl LiveStream {
    pub(super) fn new(tcp: TcpStream, killed: Killed) -> Self {
        LiveStream { tcp, killed }
    }
}

impl Drop for LiveStream {
    fn drop(&mut self) {
        if self.killed.0.load(Ordering::Relaxed) {
            // If this fails, the peer has already reset the connection.
            let _ = self.tcp.set_zero_linger();
        }
    }
}

impl Duplex for LiveStream {
    fn abort(self) {
        let _ = self.tcp.set_zero_linger();
    }
}

impl AsyncRead for LiveStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for LiveStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// A listening socket. It can be closed and full, as plans may want.
#[derive(Debug)]
pub struct LiveListener {
    socket: SocketListener,
    killed: Killed,
}

impl LiveListener {
    pub(super) fn new(socket: SocketListener, killed: Killed) -> Self {
        LiveListener { socket, killed }
    }
}

impl Listener for LiveListener {
    type Stream = LiveStream;

    async fn accept(&mut self) -> io::Result<LiveStream> {
        Ok(LiveStream::new(self.socket.accept().await?, self.killed.clone()))
    }

    async fn set(&mut self, state: State) -> io::Result<()> {
        self.socket.set(state).await
    }
}
