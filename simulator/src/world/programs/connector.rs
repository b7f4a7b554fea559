//! Connects a client of the scenario with the proxy, and says whose certificates the client trusts.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use loadgen::Connector;
use mock_upstreams::tls::roots;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CryptoProvider, GetRandomFailed, SecureRandom};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::world::engine::Host;
use crate::world::wall_clock::WallClock;

/// Reaches the proxy from a host.
pub(in crate::world) struct ToProxy<H> {
    host: H,
    proxy: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl<H: Host> ToProxy<H> {
    /// Reaches the proxy at `proxy`. Targets' certificates have to be valid by `wall`.
    pub(in crate::world) fn new(host: H, proxy: SocketAddr, wall: WallClock) -> Self {
        let tls = Arc::new(tls(wall).expect("the authority of doubles and rustls' own provider fit each other"));
        ToProxy { host, proxy, tls }
    }
}

impl<H: Host> Connector for ToProxy<H> {
    type Stream = H::Stream;

    fn connect(&self) -> impl Future<Output = io::Result<H::Stream>> {
        self.host.connect(self.proxy)
    }

    fn tls(&self) -> Option<Arc<ClientConfig>> {
        Some(Arc::clone(&self.tls))
    }
}

/// Trusts the authority that signs the certificates of doubles.
///
/// A handshake has the same course whenever it is repeated: its keys differ, which change no length, and nothing else. rustls draws the
/// order of what a ClientHello says, and a fault that flips a bit of it would hit something else each time. A resumed session would depend on
/// what the double remembers of other runs.
fn tls(wall: WallClock) -> Result<ClientConfig, Box<dyn std::error::Error>> {
    let provider = CryptoProvider { secure_random: &NothingDrawn, ..default_provider() };
    let mut config = ClientConfig::builder_with_details(Arc::new(provider), Arc::new(Now(wall)))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots()?)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Random numbers that are always the same. There is nobody in a scenario whom they would have to surprise.
#[derive(Debug)]
struct NothingDrawn;

impl SecureRandom for NothingDrawn {
    fn fill(&self, buf: &mut [u8]) -> Result<(), GetRandomFailed> {
        buf.fill(0x5a);
        Ok(())
    }
}

/// The wall clock, as rustls asks for it.
#[derive(Debug)]
struct Now(WallClock);

impl TimeProvider for Now {
    fn current_time(&self) -> Option<UnixTime> {
        let since = self.0.now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(since))
    }
}
