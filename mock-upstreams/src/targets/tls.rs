//! `tls.mock`: `http.mock` behind TLS.

use std::io;
use std::sync::OnceLock;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::http;
use crate::stream::close_in_order;
use crate::tls::acceptor;

/// One acceptor for all connections: its certificate need not be made for each.
fn shared() -> io::Result<TlsAcceptor> {
    static SHARED: OnceLock<Result<TlsAcceptor, String>> = OnceLock::new();
    let made = || acceptor(&["tls.mock", "*.tls.mock", "localhost"], None).map_err(|error| error.to_string());
    SHARED.get_or_init(made).clone().map_err(io::Error::other)
}

pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, upstream: &str) -> io::Result<()> {
    let mut tls = shared()?.accept(stream).await?;
    http::serve(&mut tls, upstream).await?;
    // The client's farewell is read, since a connection that is closed with unread bytes is reset.
    close_in_order(&mut tls).await;
    Ok(())
}
