//! Tests faults in the TLS handshake, and where others strike an upstream that speaks TLS.

use std::sync::Arc;

use mock_upstreams::tls::roots;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection};

use crate::support::{ESTABLISHED, Faulty, connect_to, proofs, read_head, read_to_end};

/// The name in the certificate of an upstream that speaks TLS.
const NAME: &str = "f.mock";

/// A client's side of TLS.
fn trusting() -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots().unwrap())
        .with_no_client_auth();
    Arc::new(config)
}

/// A client's handshake with `faulty`.
async fn shake(faulty: &Faulty) -> std::io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(trusting()).connect(ServerName::try_from(NAME).unwrap(), faulty.connect().await).await
}

/// The fault fails a handshake with this word, and stands in the journal; the next connection opens a tunnel.
async fn fails(fault: &str, word: &str) {
    let faulty = Faulty::over_tls(NAME, &format!(r#"{{"fault": "{fault}", "when": {{"nth": 1}}}}"#)).await;
    let error = shake(&faulty).await.expect_err("the handshake succeeds").to_string();
    assert!(error.contains(word), "{error}");
    assert_eq!(faulty.connection_faults().await, [fault]);
    assert_eq!(tunnel(&faulty).await, ESTABLISHED);
}

/// What a CONNECT within TLS is answered.
async fn tunnel(faulty: &Faulty) -> String {
    let mut client = shake(faulty).await.unwrap();
    client.write_all((connect_to("echo.mock:80") + "x").as_bytes()).await.unwrap();
    let head = read_head(&mut client).await;
    assert_eq!(client.read_u8().await.unwrap(), b'x');
    client.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut client).await, b"", "an end in order");
    head
}

proofs! {
    #[tokio::test]
    an_expired_certificate_is_shown proves "certificate-expired" {
        fails("certificate-expired", "expired").await;
    }

    #[tokio::test]
    a_certificate_for_another_name_is_shown proves "certificate-other-name" {
        fails("certificate-other-name", "not valid for name").await;
    }

    #[tokio::test]
    a_certificate_of_an_unknown_authority_is_shown proves "certificate-untrusted" {
        fails("certificate-untrusted", "UnknownIssuer").await;
    }

    #[tokio::test]
    an_alert_comes proves "handshake-alert" {
        fails("handshake-alert", "HandshakeFailure").await;
    }

    #[tokio::test]
    plain_http_comes proves "handshake-http" {
        fails("handshake-http", "corrupt message").await;
    }

    #[tokio::test]
    the_server_hello_is_cut proves "handshake-cut" {
        fails("handshake-cut", "eof").await;
        let faulty = Faulty::over_tls(NAME, r#"{"fault": "handshake-cut", "with": {"after": 9}}"#).await;
        let mut client = faulty.connect().await;
        let mut hello = Vec::new();
        let mut session = ClientConnection::new(trusting(), ServerName::try_from(NAME).unwrap()).unwrap();
        session.write_tls(&mut hello).unwrap();
        client.write_all(&hello).await.unwrap();
        assert_eq!(read_to_end(&mut client).await.len(), 9);
    }
}

#[tokio::test]
async fn what_a_fault_does_without_a_word_comes_before_the_handshake_and_what_it_says_within() {
    let faulty = Faulty::over_tls(NAME, r#"{"fault": "accept-close"}"#).await;
    assert!(read_to_end(&mut faulty.connect().await).await.is_empty());
    let faulty = Faulty::over_tls(NAME, r#"{"fault": "reply-first"}"#).await;
    let mut client = shake(&faulty).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 200 "), "though nothing was asked");
}

#[tokio::test]
async fn a_fault_of_a_handshake_never_strikes_where_there_is_none() {
    let faulty = Faulty::start(r#"{"fault": "handshake-alert"}"#).await;
    let mut client = faulty.connect().await;
    client.write_all(connect_to("echo.mock:80").as_bytes()).await.unwrap();
    assert_eq!(read_head(&mut client).await, ESTABLISHED);
    assert_eq!(faulty.upstream.plan().entries()[0].struck, 0);
}
