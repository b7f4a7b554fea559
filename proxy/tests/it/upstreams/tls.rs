//! Tests upstreams behind TLS, with certificates that openssl makes when the tests run.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use proxy::config::{Config, System};
use proxy::core::attribution::{Blame, Rule};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::{Client, Double, Heard, TestProxy, config, run};

/// A folder with `ca.pem`, and `leaf.pem` with `leaf.key` for `localhost` signed by it.
pub(crate) struct Certificates(tempfile::TempDir);

impl Certificates {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates(folder);
        certificates.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=netdrift-test-ca \
             -keyout ca.key -out ca.pem",
        );
        certificates.openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
             -keyout leaf.key -out leaf.csr",
        );
        std::fs::write(certificates.path("names"), "subjectAltName=DNS:localhost\n").unwrap();
        certificates.openssl(
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out leaf.pem",
        );
        certificates
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .unwrap_or_else(|error| panic!("this test needs the program openssl: {error}"));
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Adds `name.pem` with `name.key`, for `localhost` and signed by itself: an authority's, as openssl makes them.
    fn add_self_signed(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
             -addext subjectAltName=DNS:localhost -keyout {name}.key -out {name}.pem"
        ));
    }

    /// Adds `name.pem` with `name.key`, of the same kind but valid in January 2020 alone.
    pub(crate) fn add_expired(&self, name: &str) {
        let config = "[ca]\ndefault_ca=made\n[made]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=any\n\
                      [any]\ncommonName=supplied\n[fields]\nbasicConstraints=critical,CA:TRUE\nsubjectAltName=DNS:localhost\n";
        for (file, text) in [("authority", config), ("index", ""), ("serial", "01\n")] {
            std::fs::write(self.path(file), text).unwrap();
        }
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout {name}.key -out {name}.csr"
        ));
        self.openssl(&format!(
            "ca -batch -notext -selfsign -config authority -extensions fields -keyfile {name}.key -in {name}.csr \
             -startdate 200101000000Z -enddate 200201000000Z -out {name}.pem"
        ));
    }

    /// A server's side of TLS with the leaf certificate.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor_with("leaf")
    }

    /// As [`Certificates::acceptor`], with another certificate.
    pub(crate) fn acceptor_with(&self, name: &str) -> TlsAcceptor {
        let chain =
            CertificateDer::pem_file_iter(self.path(&format!("{name}.pem"))).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// The configuration `value`, whose files lie beside the certificates.
    pub(crate) fn read(&self, value: &Value) -> Config {
        let text = value.to_string();
        proxy::config::parse("test.json", text.as_bytes(), &System::beside(&self.path("test.json")))
            .unwrap_or_else(|problems| panic!("{problems}"))
    }
}

/// Serves each connection by `script` once its handshake is done; the port it listens on.
pub(crate) async fn upstream<F, Fut>(certificates: &Certificates, script: F) -> u16
where
    F: Fn(Client<TlsStream<TcpStream>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    upstream_with(certificates.acceptor(), script).await
}

/// Opens every tunnel, and says nothing more; the port it listens on.
pub(crate) async fn opening(certificates: &Certificates) -> u16 {
    let open = |mut peer: Client<TlsStream<TcpStream>>| async move {
        peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
        let _ = peer.rest().await;
    };
    upstream(certificates, open).await
}

/// As [`upstream`], with the server's side of TLS given.
pub(crate) async fn upstream_with<F, Fut>(acceptor: TlsAcceptor, script: F) -> u16
where
    F: Fn(Client<TlsStream<TcpStream>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = Arc::new(script);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
            tokio::spawn(async move {
                // A client that does not trust us ends the handshake.
                if let Ok(stream) = acceptor.accept(stream).await {
                    script(Client::on(stream)).await;
                }
            });
        }
    });
    port
}

/// An upstream entry for `host` at `port`, trusting `ca`.
pub(crate) fn entry(host: &str, port: u16, ca: &str) -> Value {
    json!({ "url": format!("https://{host}:{port}"), "tls": { "ca_file": ca } })
}

pub(crate) fn with_upstreams(entries: Value) -> Value {
    let mut config = config(&[]);
    config["upstream_proxies"] = entries;
    config
}

#[test]
fn a_tunnel_through_tls_carries_every_byte_and_both_ends() {
    run(async {
        let certificates = Certificates::new();
        let port = upstream(&certificates, |mut peer| async move {
            assert!(peer.head().await.starts_with("CONNECT a.test:443 "));
            peer.send("HTTP/1.1 200 OK\r\n\r\nearly ").await;
            // The client's end comes first, and then ours, behind everything it sent.
            let all = peer.rest().await.unwrap();
            assert_eq!(all.len(), 300_000);
            peer.send(all).await;
            peer.finish().await;
        })
        .await;
        let proxy =
            TestProxy::with(certificates.read(&with_upstreams(json!([entry("localhost", port, "ca.pem")])))).await;
        let mut client = proxy.tunnel("a.test:443").await;
        assert_eq!(client.exactly(6).await, b"early ");
        let sent: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
        client.send(&sent).await;
        client.finish().await;
        assert_eq!(client.rest().await.unwrap(), sent);
        let summary = proxy.ear.finished(1).await;
        assert_eq!((summary.bytes_up, summary.bytes_down, summary.outcome), (300_000, 300_006, "ok"));
    });
}

#[test]
fn the_upstreams_end_leaves_the_clients_direction_open_over_tls() {
    run(async {
        let certificates = Certificates::new();
        let (told, heard) = tokio::sync::mpsc::unbounded_channel();
        let port = upstream(&certificates, move |mut peer| {
            let told = told.clone();
            async move {
                peer.head().await;
                peer.send("HTTP/1.1 200 OK\r\n\r\nbye").await;
                peer.finish().await;
                told.send(peer.rest().await.unwrap()).unwrap();
            }
        })
        .await;
        let mut heard = heard;
        let proxy =
            TestProxy::with(certificates.read(&with_upstreams(json!([entry("localhost", port, "ca.pem")])))).await;
        let mut client = proxy.tunnel("a.test:443").await;
        assert_eq!(client.rest().await.unwrap(), b"bye");
        client.send("still here").await;
        client.finish().await;
        assert_eq!(heard.recv().await.unwrap(), b"still here");
    });
}

/// Small exchanges one after the other: nothing may wait in a buffer for more.
#[test]
fn a_dialogue_over_tls_never_stalls() {
    run(async {
        let certificates = Certificates::new();
        let port = upstream(&certificates, |mut peer| async move {
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
            for _ in 0..50 {
                let got = peer.exactly(3).await;
                peer.send(got).await;
            }
        })
        .await;
        let proxy =
            TestProxy::with(certificates.read(&with_upstreams(json!([entry("localhost", port, "ca.pem")])))).await;
        let mut client = proxy.tunnel("a.test:443").await;
        for number in 100..150 {
            client.send(number.to_string()).await;
            assert_eq!(client.exactly(3).await, number.to_string().as_bytes());
        }
    });
}

#[test]
fn resets_pass_through_tls_both_ways() {
    run(async {
        let certificates = Certificates::new();
        let (told, ends) = tokio::sync::mpsc::unbounded_channel();
        let port = upstream(&certificates, move |mut peer| {
            let told = told.clone();
            async move {
                let resets = peer.head().await.contains("resets.test");
                peer.send("HTTP/1.1 200 OK\r\n\r\nx").await;
                if resets {
                    peer.exactly(1).await;
                    peer.stream.get_ref().0.set_zero_linger().unwrap();
                } else {
                    told.send(peer.rest().await.map_err(|error| error.kind())).unwrap();
                }
            }
        })
        .await;
        let mut ends = ends;
        let proxy =
            TestProxy::with(certificates.read(&with_upstreams(json!([entry("localhost", port, "ca.pem")])))).await;
        let mut client = proxy.tunnel("resets.test:443").await;
        client.exactly(1).await;
        client.send("y").await;
        assert_eq!(client.rest().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        let mut client = proxy.tunnel("reset.test:443").await;
        client.exactly(1).await;
        client.reset();
        assert_eq!(ends.recv().await.unwrap(), Err(io::ErrorKind::ConnectionReset));
    });
}

/// Wrong authority, wrong name, no TLS at all: a real error each, the upstream's fault, and never in clear.
#[test]
fn a_certificate_that_is_not_right_opens_nothing() {
    run(async {
        let certificates = Certificates::new();
        let stranger = Certificates::new();
        std::fs::copy(stranger.path("ca.pem"), certificates.path("stranger.pem")).unwrap();
        let port = upstream(&certificates, |mut peer| async move {
            peer.head().await;
            panic!("a CONNECT came although the certificate was not right");
        })
        .await;
        let (told, mut first_bytes) = tokio::sync::mpsc::unbounded_channel();
        let plain = Double::scripted(move |_, mut peer| {
            let told = told.clone();
            async move {
                told.send(peer.exactly(1).await).unwrap();
                peer.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
                let _ = peer.rest().await;
            }
        })
        .await;
        for (what, entry) in [
            ("wrong authority", entry("localhost", port, "stranger.pem")),
            ("wrong name", entry("127.0.0.1", port, "ca.pem")),
            ("plain", entry("localhost", plain.addr.port(), "ca.pem")),
        ] {
            let (good, _) = Double::mock("good").await;
            let alone = TestProxy::with(certificates.read(&with_upstreams(json!([entry])))).await;
            let (head, _) = alone.asked("echo.mock:80").await.response().await;
            assert!(head.starts_with("HTTP/1.1 502 ") && head.contains("error=tls_protocol_error;"), "{what}: {head}");
            let blamed = |heard: &Heard| match heard {
                Heard::Blamed { blame, rule, .. } => Some((*blame, *rule)),
                _ => None,
            };
            assert_eq!(alone.ear.wait(blamed).await, (Blame::Upstream, Rule::Tls), "{what}");
            // In front of a good one nobody notices.
            let both = json!([entry, { "url": format!("http://{}", good.addr) }]);
            let proxy = TestProxy::with(certificates.read(&with_upstreams(both))).await;
            for _ in 0..6 {
                proxy.tunnel("echo.mock:80").await;
            }
            proxy.ear.wait(|heard| matches!(heard, Heard::Ejected { .. }).then_some(())).await;
        }
        // A TLS record, not a request: credentials never go out in clear.
        assert_eq!(first_bytes.recv().await.unwrap(), [0x16]);
    });
}

#[test]
fn the_name_to_be_certified_can_be_configured() {
    run(async {
        let certificates = Certificates::new();
        let port = opening(&certificates).await;
        let mut entry = entry("127.0.0.1", port, "ca.pem");
        entry["tls"]["server_name"] = json!("localhost");
        let proxy = TestProxy::with(certificates.read(&with_upstreams(json!([entry])))).await;
        proxy.tunnel("a.test:443").await;
    });
}

#[test]
fn a_mock_upstream_behind_tls_serves_its_targets() {
    run(async {
        let certificates = Certificates::new();
        let (mock, _) = Double::mock("mock").await;
        let port = upstream(&certificates, move |mut peer| async move {
            let mut behind = TcpStream::connect(mock.addr).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut peer.stream, &mut behind).await;
        })
        .await;
        let proxy =
            TestProxy::with(certificates.read(&with_upstreams(json!([entry("localhost", port, "ca.pem")])))).await;
        let mut client = proxy.tunnel("n1000000.source.mock:80").await;
        client.finish().await;
        let all = client.rest().await.unwrap();
        assert_eq!(all.len(), 1_000_000);
        assert_eq!(
            mock_upstreams::checksum::Transferred::of(&all),
            mock_upstreams::targets::transferred_of_pattern(1_000_000),
            "bytes were changed on the way"
        );
    });
}

/// `openssl req -x509` makes an authority's certificate, which no server may present unless the operator has named it.
#[test]
fn a_self_signed_certificate_is_taken_where_it_is_named_itself() {
    run(async {
        let certificates = Certificates::new();
        certificates.add_self_signed("self");
        // Of the same name and key, but another certificate.
        certificates.openssl(
            "req -x509 -key self.key -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost -out twin.pem",
        );
        certificates.add_expired("expired");
        let bundle = [
            std::fs::read(certificates.path("ca.pem")).unwrap(),
            std::fs::read(certificates.path("self.pem")).unwrap(),
        ];
        std::fs::write(certificates.path("bundle.pem"), bundle.concat()).unwrap();
        for (presents, host, ca, opens) in [
            ("self", "localhost", "self.pem", true),
            ("self", "localhost", "bundle.pem", true),
            ("leaf", "localhost", "bundle.pem", true),
            ("self", "127.0.0.1", "self.pem", false),
            ("self", "localhost", "twin.pem", false),
            ("self", "localhost", "ca.pem", false),
            ("leaf", "localhost", "self.pem", false),
            ("expired", "localhost", "expired.pem", false),
        ] {
            let port = upstream_with(certificates.acceptor_with(presents), |mut peer| async move {
                peer.head().await;
                peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
                let _ = peer.rest().await;
            })
            .await;
            let proxy = TestProxy::with(certificates.read(&with_upstreams(json!([entry(host, port, ca)])))).await;
            let head = proxy.asked("a.test:443").await.head().await;
            assert_eq!(head.starts_with("HTTP/1.1 200 "), opens, "{presents} at {host} by {ca}: {head}");
            assert!(opens || head.contains("error=tls_"), "{presents} at {host} by {ca}: {head}");
        }
    });
}
