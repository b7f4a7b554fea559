//! Does the upstream's side of a TLS handshake, or what a fault makes of it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mock_upstreams::Client;
use mock_upstreams::tls::acceptor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::play::play;
use crate::effect::handshake::Handshake;
use crate::io::Duplex;

/// What the journal says of a connection that ends with its handshake.
const FAILED: &str = "no TLS session";

/// An upstream's side of TLS.
pub(super) struct Tls {
    name: String,
    sound: TlsAcceptor,
}

impl Tls {
    /// With a certificate for `name`.
    pub(super) fn new(name: &str) -> io::Result<Self> {
        Ok(Tls { name: name.to_owned(), sound: acceptor(&[name], None)? })
    }

    /// Shakes hands with a client, unless a fault makes something else of it. `None`: the connection is over.
    pub(super) async fn shake_hands<S: Duplex>(
        &self,
        client: Client<S>,
        fault: Option<Handshake>,
    ) -> Option<Client<Session<S>>> {
        let acceptor = match fault {
            None => self.sound.clone(),
            Some(Handshake::Flawed(flaw)) => acceptor(&[&self.name], Some(flaw)).ok()?,
            Some(Handshake::Answered(reply)) => {
                play(client, reply).await;
                return None;
            }
            Some(Handshake::Cut(after)) => {
                let cut = async |stream| self.sound.accept(CutOff { stream, left: after }).await;
                // It never gets to its end.
                let _ = client.wrapped(cut, FAILED).await;
                return None;
            }
        };
        let session = async |stream| Ok(Session { tls: acceptor.accept(stream).await?, ended: false });
        client.wrapped(session, FAILED).await.ok()
    }
}

/// A TLS session. Who reads on behind its end reads until the connection has ended too, so that closing leaves nothing of it unread.
pub(super) struct Session<S> {
    tls: TlsStream<S>,
    /// Its end has been read.
    ended: bool,
}

/// What is inside a session is reset with the connection that carries it.
impl<S: Duplex> Duplex for Session<S> {
    fn abort(self) {
        self.tls.into_inner().0.abort();
    }

    fn peer(&self) -> Option<String> {
        self.tls.get_ref().0.peer()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Session<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Session { tls, ended } = self.get_mut();
        if *ended {
            let mut rest = [0; 256];
            loop {
                let mut rest = ReadBuf::new(&mut rest);
                ready!(Pin::new(&mut *tls.get_mut().0).poll_read(cx, &mut rest))?;
                if rest.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
        }
        let before = buf.filled().len();
        ready!(Pin::new(tls).poll_read(cx, buf))?;
        *ended = buf.remaining() > 0 && buf.filled().len() == before;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Session<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tls).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tls).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tls).poll_shutdown(cx)
    }
}

/// A stream that takes so many bytes, is ended in order behind them, and takes no more.
struct CutOff<S> {
    stream: S,
    left: u64,
}

impl<S: AsyncRead + Unpin> AsyncRead for CutOff<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CutOff<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.left == 0 {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let most = usize::try_from(this.left).map_or(buf.len(), |left| left.min(buf.len()));
        let count = ready!(Pin::new(&mut this.stream).poll_write(cx, &buf[..most]))?;
        this.left -= count as u64;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
