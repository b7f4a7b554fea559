//! Streams over TCP, a timer finer than tokio's, TLS settings, the descriptor limit.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use loadgen::Net;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::cli::Trust;

/// The proxy over TCP. One for each driver: its timer serves one waiter at a time.
pub(crate) struct Tcp {
    proxy: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    timer: AsyncFd<OwnedFd>,
}

impl Tcp {
    pub(crate) fn new(proxy: SocketAddr, tls: Option<Arc<ClientConfig>>) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(deprecated, reason = "it is unsound for types that lie about their descriptor; OwnedFd owns its own")]
        let timer = AsyncFd::new(timer)?;
        Ok(Tcp { proxy, tls, timer })
    }

    async fn wait(&self, span: Duration) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec { tv_sec: span.as_secs() as i64, tv_nsec: i64::from(span.subsec_nanos()) };
        let once = Itimerspec { it_interval: zero, it_value: value };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.timer.readable().await?;
            let read = ready.try_io(|timer| rustix::io::read(timer, &mut [0; 8]).map_err(io::Error::from));
            if let Ok(read) = read {
                return read.map(|_| ());
            }
        }
    }
}

impl Net for Tcp {
    type Stream = TcpStream;

    async fn connect(&self) -> io::Result<TcpStream> {
        // Connections that are refused at once wait for nothing: without a turn in between no timer would ever fire.
        tokio::task::coop::consume_budget().await;
        let stream = TcpStream::connect(self.proxy).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn sleep_until(&self, at: Instant) {
        let span = at.saturating_duration_since(Instant::now());
        if span.is_zero() {
            return;
        }
        // tokio's own timer wakes up to a millisecond late, which would stand in every latency of an open loop.
        if self.wait(span).await.is_err() {
            tokio::time::sleep_until(at).await;
        }
    }

    fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.tls.clone()
    }
}

/// TLS settings for targets.
pub(crate) fn tls(trust: &Trust) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let mut roots = rustls::RootCertStore::empty();
    match trust {
        Trust::Anyone => {
            let anyone = Arc::new(Anyone(provider));
            let config = builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth();
            return Ok(Arc::new(config));
        }
        Trust::System => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Trust::File(path) => {
            let wrong = |error: &dyn std::fmt::Display| format!("--ca {}: {error}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
            if roots.is_empty() {
                return Err(wrong(&"there is no certificate in it"));
            }
        }
    }
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// Takes any certificate, as the user asked; signatures are still checked.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Descriptors beside those of streams: standard ones, timers, journals, the runtime's.
const OTHER_DESCRIPTORS: u64 = 64;

/// Raises the soft descriptor limit to the hard one, and checks that `streams` fit.
pub(crate) fn fit_descriptors(streams: usize) -> Result<(), String> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Refused raises leave the old limit, which is looked at next.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let fit = current.saturating_sub(OTHER_DESCRIPTORS);
    if streams as u64 > fit {
        return Err(format!(
            "{streams} connections at once need more than the {current} descriptors this process may have; \
             raise the limit (ulimit -n) or ask for at most {fit} (--clients, --max-in-flight)"
        ));
    }
    Ok(())
}

/// A seed that no other run has, for runs that were given none.
pub(crate) fn fresh_seed() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the binary is where randomness comes in; the seed is printed")]
    let now = std::time::SystemTime::now();
    let nanos = now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    loadgen::draw::Draw::new(nanos, u64::from(std::process::id())).below(1 << 48)
}
