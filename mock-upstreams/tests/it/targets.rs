//! Tests the built-in targets behind CONNECT.

use std::sync::Arc;
use std::time::Duration;

use mock_upstreams::Settings;
use mock_upstreams::checksum::Transferred;
use mock_upstreams::targets::pattern;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::support::{Mock, connect_to, read_head, read_to_end, split, upstream, watched};

#[tokio::test]
async fn source_sends_as_much_as_its_name_says() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        let (_, body) = split(&mock.exchange(connect_to("r1.n100000.source.mock:80")).await);
        assert_eq!(body, pattern(0, 100_000));
        assert_eq!(mock.get("http://n7.source.mock/").await.1, pattern(0, 7));
    })
    .await;
}

#[tokio::test]
async fn sink_says_what_it_swallowed() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        let expected = format!("5 {}\n", Transferred::of(b"12345").checksum);
        let (_, body) = split(&mock.exchange(connect_to("sink.mock:80") + "12345").await);
        assert_eq!(String::from_utf8(body).unwrap(), expected);
        let request = "POST http://sink.mock/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345";
        let (_, body) = split(&mock.exchange(request).await);
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    })
    .await;
}

#[tokio::test]
async fn http_is_spoken_inside_a_tunnel() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        let request = connect_to("http.mock:80") + "GET /bytes/3 HTTP/1.1\r\nHost: http.mock\r\n\r\n";
        let (_, inside) = split(&mock.exchange(request).await);
        let (head, body) = split(&inside);
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert_eq!(body, [0, 1, 2]);
    })
    .await;
}

#[tokio::test]
async fn tls_mock_shows_the_certificate_that_the_upstream_gives_out() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        let pem = mock.get("/tls.pem").await.1;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();

        let mut client = mock.connect().await;
        client.write_all(connect_to("a.tls.mock:443").as_bytes()).await.unwrap();
        read_head(&mut client).await;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("a.tls.mock").unwrap();
        let mut tls = connector.connect(name, client).await.unwrap();
        tls.write_all(b"GET /bytes/3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        assert!(read_head(&mut tls).await.starts_with("HTTP/1.1 200 OK"));
        let mut body = [9; 3];
        tls.read_exact(&mut body).await.unwrap();
        assert_eq!(body, [0, 1, 2]);
    })
    .await;
}

const OPENING: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// "hi" masked with zeros, and a close.
const FRAMES: [u8; 14] = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i', 0x88, 0x80, 0, 0, 0, 0];
const ECHOED: [u8; 6] = [0x81, 2, b'h', b'i', 0x88, 0];

#[tokio::test]
async fn websocket_echoes_inside_a_tunnel_and_behind_a_forwarded_upgrade() {
    watched(async {
        let mock = Mock::start(Settings::default()).await;
        let mut tunnel = (connect_to("websocket.mock:80") + "GET / HTTP/1.1\r\nHost: x\r\n" + OPENING).into_bytes();
        tunnel.extend(FRAMES);
        let (_, inside) = split(&mock.exchange(&tunnel).await);
        let (head, frames) = split(&inside);
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        assert_eq!(frames, ECHOED);

        let mut upgrade = format!("GET http://websocket.mock/ HTTP/1.1\r\nHost: x\r\n{OPENING}").into_bytes();
        upgrade.extend(FRAMES);
        let (head, frames) = split(&mock.exchange(&upgrade).await);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(frames, ECHOED);

        assert!(mock.get("http://websocket.mock/").await.0.starts_with("HTTP/1.1 426 "));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn slow_mock_takes_the_time_that_its_name_says_and_the_upstream_its_latency() {
    let upstream = upstream(Settings { latency: Duration::from_secs(3), ..Settings::default() });
    let (mut client, served) = tokio::io::duplex(1000);
    let begun = Instant::now();
    let talk = async {
        client.write_all((connect_to("d250.slow.mock:80") + "x").as_bytes()).await.unwrap();
        read_head(&mut client).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(3));
        assert_eq!(client.read_u8().await.unwrap(), b'x');
        assert_eq!(begun.elapsed(), Duration::from_millis(3250));
        client.shutdown().await.unwrap();
        read_to_end(&mut client).await
    };
    tokio::join!(talk, upstream.serve(served, mock_upstreams::listen::dial));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_before_its_first_request_is_ended_at_its_time() {
    let limit = Duration::from_secs(3);
    for says_something in [false, true] {
        let upstream = upstream(Settings { idle_timeout: Some(limit), ..Settings::default() });
        let (mut client, served) = tokio::io::duplex(1000);
        let begun = Instant::now();
        let talk = async {
            if says_something {
                client.write_all(connect_to("echo.mock:80").as_bytes()).await.unwrap();
                read_head(&mut client).await;
                // A tunnel may say nothing for as long as it likes.
                tokio::time::sleep(limit * 2).await;
                client.write_all(b"x").await.unwrap();
                assert_eq!(client.read_u8().await.unwrap(), b'x');
            } else {
                assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
                assert_eq!(begun.elapsed(), limit);
            }
            drop(client);
        };
        tokio::join!(talk, upstream.serve(served, mock_upstreams::listen::dial));
    }
}
