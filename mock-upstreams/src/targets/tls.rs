//! `tls.mock`: `http.mock` behind TLS, with a certificate made when it is first needed.

use std::io;
use std::sync::{Arc, OnceLock};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::http;

struct Identity {
    acceptor: TlsAcceptor,
    certificate_pem: String,
}

fn identity() -> io::Result<&'static Identity> {
    static IDENTITY: OnceLock<Result<Identity, String>> = OnceLock::new();
    IDENTITY
        .get_or_init(|| make().map_err(|error| error.to_string()))
        .as_ref()
        .map_err(|error| io::Error::other(error.clone()))
}

fn make() -> Result<Identity, Box<dyn std::error::Error>> {
    let names = ["tls.mock", "*.tls.mock", "localhost"].map(str::to_owned);
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names)?;
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)?;
    Ok(Identity { acceptor: TlsAcceptor::from(Arc::new(config)), certificate_pem: cert.pem() })
}

/// The certificate as PEM, for clients that want to verify it.
///
/// # Errors
/// The certificate could not be made.
pub fn certificate_pem() -> io::Result<&'static str> {
    Ok(&identity()?.certificate_pem)
}

pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, upstream: &str) -> io::Result<()> {
    let mut tls = identity()?.acceptor.accept(stream).await?;
    http::serve(&mut tls, upstream).await
}
