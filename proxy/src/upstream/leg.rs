//! Wraps the connection to an upstream, which is plain or inside TLS.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::Transport;
use crate::env::{Duplex, Env};
use crate::upstream::certificate::Verifier;

/// A connected upstream.
#[derive(Debug)]
pub(crate) enum Leg<S> {
    /// `http://`
    Plain(S),
    /// `https://`. Boxed: a session's state is some kilobytes, and most legs are plain.
    Tls(Box<TlsSession<S>>),
}

/// A TLS session with an upstream.
///
/// Whoever drops it ends it in order, and so it tells the upstream first: an end without that alert could be a cut (RFC 9112
/// section 9.8). One that is aborted tells nothing.
#[derive(Debug)]
pub(crate) struct TlsSession<S> {
    /// `None` only while it is aborted.
    stream: Option<TlsStream<S>>,
    /// Sends the alert, as far as it goes without waiting. It is a pointer, so that who merely holds legs need not know
    /// what `S` can do.
    say_end: fn(&mut TlsStream<S>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsSession<S> {
    fn new(stream: TlsStream<S>) -> Self {
        let say_end = |stream: &mut TlsStream<S>| {
            let _ = Pin::new(stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        };
        TlsSession { stream: Some(stream), say_end }
    }

    /// Puts `poll` to the stream.
    fn poll_with<T>(
        &mut self,
        poll: impl FnOnce(Pin<&mut TlsStream<S>>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.stream
            .as_mut()
            .map_or(Poll::Ready(Err(io::ErrorKind::NotConnected.into())), |stream| poll(Pin::new(stream)))
    }
}

impl<S> Drop for TlsSession<S> {
    fn drop(&mut self) {
        if let Some(stream) = &mut self.stream {
            (self.say_end)(stream);
        }
    }
}

impl<S: Duplex> Duplex for TlsSession<S> {
    fn abort(mut self) {
        if let Some(stream) = self.stream.take() {
            stream.into_inner().0.abort();
        }
    }

    fn watch(&self) {
        if let Some(stream) = &self.stream {
            stream.get_ref().0.watch();
        }
    }

    fn sent(&self) -> impl Future<Output = ()> + Send {
        let sent = self.stream.as_ref().map(|stream| stream.get_ref().0.sent());
        async {
            if let Some(sent) = sent {
                sent.await;
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsSession<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_with(|stream| stream.poll_read(cx, buf))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsSession<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_with(|stream| stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_with(|stream| stream.poll_shutdown(cx))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Leg<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Leg::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Leg::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Leg<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Leg::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Leg::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Leg::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Leg::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Leg::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Leg::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Leg<S> {
    /// Whether anything has come on a connection between requests. Nothing is expected there, so bytes make it as useless
    /// as an end or an error: they must not be taken for the next answer.
    pub(crate) fn has_spoken(&mut self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        Pin::new(self).poll_read(cx, &mut ReadBuf::new(&mut byte)).is_ready()
    }
}

/// Turns a connected stream into a [`Leg`] as the upstream's URL asks.
#[derive(Clone)]
pub(crate) enum Wrapper {
    /// Leave it plain.
    Plain,
    /// Speak TLS and check that the certificate carries the name.
    Tls(TlsConnector, ServerName<'static>),
}

impl Wrapper {
    /// For `transport`. Certificates have to be valid by the wall clock of `env`.
    ///
    /// # Errors
    /// Certificates that can't be read, a server name that can't stand in one, no roots at all.
    pub(crate) fn new<E: Env>(transport: &Transport, env: &E) -> Result<Self, TlsSetupError> {
        let Transport::Tls { server_name, roots } = transport else { return Ok(Wrapper::Plain) };
        let name = ServerName::try_from(server_name.clone()).map_err(|_| TlsSetupError::Name(server_name.clone()))?;
        let unusable = |error: &dyn fmt::Display| TlsSetupError::Roots(error.to_string());
        let (mut store, mut named) = (RootCertStore::empty(), Vec::new());
        match roots {
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|error| unusable(&error))?;
                    store.add(certificate.clone()).map_err(|error| unusable(&error))?;
                    named.push(certificate);
                }
            }
            // One broken file among the system's must not take the good ones with it.
            None => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if store.is_empty() {
            return Err(TlsSetupError::NoRoots);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider)).build();
        let chains = chains.map_err(|error| unusable(&error))?;
        let config = ClientConfig::builder_with_details(provider, Arc::new(WallClock(env.clone())))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier::new(chains, named)))
            .with_no_client_auth();
        Ok(Wrapper::Tls(TlsConnector::from(Arc::new(config)), name))
    }

    /// Whether it speaks TLS.
    pub(crate) const fn is_tls(&self) -> bool {
        matches!(self, Wrapper::Tls(..))
    }

    /// The leg over `stream`.
    ///
    /// # Errors
    /// The handshake's, a wrong certificate among them.
    pub(crate) async fn wrap<S: Duplex>(&self, stream: S) -> io::Result<Leg<S>> {
        match self {
            Wrapper::Plain => Ok(Leg::Plain(stream)),
            Wrapper::Tls(connector, name) => {
                Ok(Leg::Tls(Box::new(TlsSession::new(connector.connect(name.clone(), stream).await?))))
            }
        }
    }
}

/// The wall clock of an environment, as rustls asks for it.
struct WallClock<E>(E);

impl<E> fmt::Debug for WallClock<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
}

impl<E: Env> TimeProvider for WallClock<E> {
    /// `None`, with which no certificate is taken, where the clock stands before 1970.
    fn current_time(&self) -> Option<UnixTime> {
        let since = self.0.wall().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(since))
    }
}

/// An upstream's TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// Not a name that a certificate can carry.
    #[error("{0:?} can't be the name in a certificate; set tls.server_name")]
    Name(String),
    /// The given roots don't parse.
    #[error("the root certificates can't be used: {0}")]
    Roots(String),
    /// Nothing to trust.
    #[error("no root certificates: install the system's (package ca-certificates) or set tls.ca_file")]
    NoRoots,
}
