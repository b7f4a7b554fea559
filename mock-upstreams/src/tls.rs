//! Makes the certificates that doubles show where they speak TLS.
//!
//! All of it is fixed: keys, dates, serial numbers. A handshake has the same length in every process, and a simulation that
//! plays one repeats it.

use std::io;
use std::sync::{Arc, OnceLock};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ED25519, SerialNumber,
    date_time_ymd,
};
use ring::digest::{SHA256, digest};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It was valid until the end of 2000.
    Expired,
    /// It is for `other.mock`.
    OtherName,
    /// An authority has signed it that nobody knows.
    Untrusted,
}

/// The certificate, as PEM, of the authority that signs the certificates of doubles. It is valid until 2099.
///
/// Everybody can compute its key: who trusts it in earnest trusts everybody.
///
/// # Errors
/// The certificate could not be made.
pub fn authority_pem() -> io::Result<&'static str> {
    static PEM: OnceLock<Result<String, String>> = OnceLock::new();
    let made = || authority(TRUSTED).map(|made| made.pem()).map_err(|error| error.to_string());
    PEM.get_or_init(made).as_ref().map(String::as_str).map_err(|error| io::Error::other(error.as_str()))
}

/// Trusts that authority, and nobody else.
///
/// # Errors
/// The certificate could not be made.
pub fn roots() -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(authority_pem()?.as_bytes()).map_err(io::Error::other)?;
    roots.add(authority).map_err(io::Error::other)?;
    Ok(roots)
}

/// A server's side of TLS with a certificate for `names`.
///
/// A session that was begun with a sound certificate may be resumed, as servers do it. One with a flaw is always shown its certificate.
///
/// # Errors
/// No certificate can carry these names.
pub fn acceptor(names: &[&str], flaw: Option<Flaw>) -> io::Result<TlsAcceptor> {
    let config = server_config(names, flaw).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

const TRUSTED: &str = "authority of doubles";
const UNKNOWN: &str = "authority that nobody knows";

fn server_config(names: &[&str], flaw: Option<Flaw>) -> Result<ServerConfig, Box<dyn std::error::Error>> {
    let signer = authority(if flaw == Some(Flaw::Untrusted) { UNKNOWN } else { TRUSTED })?;
    let names = if flaw == Some(Flaw::OtherName) { &["other.mock"] } else { names };
    let mut leaf = params("a double")?;
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    leaf.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
    if flaw == Some(Flaw::Expired) {
        leaf.not_after = date_time_ymd(2000, 12, 31);
    }
    let key = key("a double")?;
    let chain: Vec<CertificateDer<'static>> = vec![leaf.signed_by(&key, &signer)?.der().clone()];
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
    if flaw.is_some() {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = params(name)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, key(name)?)
}

/// What all certificates have in common.
fn params(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new([])?;
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2099, 12, 31));
    params.serial_number = Some(SerialNumber::from_slice(&[1]));
    Ok(params)
}

/// The key that follows from `name`. Ed25519: its signatures follow from what they sign, and are all of one length.
fn key(name: &str) -> Result<KeyPair, rcgen::Error> {
    /// What stands in front of the 32 bytes of an Ed25519 key (RFC 8410 section 7).
    const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let der = [&PKCS8, digest(&SHA256, name.as_bytes()).as_ref()].concat();
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &PKCS_ED25519)
}

#[cfg(test)]
mod tests {
    use rustls::ClientConfig;
    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio_rustls::TlsConnector;

    use super::*;

    /// What comes of a handshake of a client that looks for the name `sound.mock`.
    async fn shake(flaw: Option<Flaw>) -> Result<(), String> {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots().unwrap())
            .with_no_client_auth();
        let (near, far) = duplex(1 << 16);
        let served = async { acceptor(&["sound.mock"], flaw).unwrap().accept(far).await?.write_u8(7).await };
        let name = ServerName::try_from("sound.mock").unwrap();
        let asked = async { TlsConnector::from(Arc::new(config)).connect(name, near).await?.read_u8().await };
        let (_, read) = tokio::join!(served, asked);
        read.map(|byte| assert_eq!(byte, 7)).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_sound_certificate_is_taken_and_each_flaw_is_found() {
        assert_eq!(shake(None).await, Ok(()));
        for (flaw, found) in
            [(Flaw::Expired, "expired"), (Flaw::OtherName, "not valid for name"), (Flaw::Untrusted, "UnknownIssuer")]
        {
            let error = shake(Some(flaw)).await.unwrap_err();
            assert!(error.contains(found), "{flaw:?}: {error}");
        }
    }

    #[test]
    fn what_is_made_twice_is_the_same() {
        assert_eq!(authority(TRUSTED).unwrap().pem(), authority(TRUSTED).unwrap().pem());
        assert_ne!(authority(TRUSTED).unwrap().pem(), authority(UNKNOWN).unwrap().pem());
    }
}
