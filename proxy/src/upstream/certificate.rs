//! Which certificates of upstreams are taken.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

/// Takes what leads to a trusted certificate, and the trusted ones themselves.
///
/// A certificate that its owner has signed is an authority's by openssl's defaults, and no authority's certificate may
/// be a server's (RFC 5280 section 4.2.1.9), so that webpki refuses one that the operator has named. Here it is taken if it
/// is one of those byte for byte. Its name is checked then, and its dates have been: webpki looks at them first.
#[derive(Debug)]
pub(super) struct Verifier {
    chains: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl Verifier {
    /// Where `chains` fails, one of `named` is taken all the same.
    pub(super) fn new(chains: Arc<WebPkiServerVerifier>, named: Vec<CertificateDer<'static>>) -> Self {
        Verifier { chains, named }
    }
}

/// Whether nothing was found wrong before it was seen that an authority's certificate stands in a server's place.
fn is_authority_as_server(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(error))) => {
            error.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
        }
        _ => false,
    }
}

/// Says in days and dates that a certificate is out of date; the library tells seconds since 1970.
pub(super) fn out_of_date(error: &Error) -> Option<String> {
    let Error::InvalidCertificate(error) = error else { return None };
    match error {
        CertificateError::ExpiredContext { time, not_after } => {
            Some(format!("certificate expired {} ago, at {}", days_between(*not_after, *time), date(*not_after)))
        }
        CertificateError::NotValidYetContext { time, not_before } => Some(format!(
            "certificate not valid for another {}, until {}",
            days_between(*time, *not_before),
            date(*not_before)
        )),
        _ => None,
    }
}

fn days_between(earlier: UnixTime, later: UnixTime) -> String {
    match later.as_secs().saturating_sub(earlier.as_secs()) / 86_400 {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

fn date(time: UnixTime) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(time.as_secs()))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(error) if is_authority_as_server(&error) && self.named.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_out_of_date_is_told_in_days() {
        const DAY: u64 = 86_400;
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let said = |error| out_of_date(&Error::InvalidCertificate(error));
        let expired = |seconds| {
            let now = 20_000 * DAY;
            said(CertificateError::ExpiredContext { time: at(now), not_after: at(now - seconds) }).unwrap()
        };
        assert_eq!(expired(3 * DAY + 5), "certificate expired 3 days ago, at 2024-09-30T23:59:55Z");
        assert_eq!(expired(DAY), "certificate expired 1 day ago, at 2024-10-03T00:00:00Z");
        assert_eq!(expired(DAY - 1), "certificate expired less than a day ago, at 2024-10-03T00:00:01Z");
        // The last moment that a certificate can name.
        let last = at(253_402_300_799);
        assert_eq!(
            said(CertificateError::NotValidYetContext { time: at(20_000 * DAY), not_before: last }).as_deref(),
            Some("certificate not valid for another 2912896 days, until 9999-12-31T23:59:59Z")
        );
        assert_eq!(said(CertificateError::UnknownIssuer), None);
    }
}
