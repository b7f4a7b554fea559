//! Provides a proxy and scripted upstreams in memory, so that time can stand still.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use proxy::Proxy;
use proxy::env::{Duplex, Env, Listener};
use proxy::testing::{MemoryEnv, MemoryStream};

use super::{Client, Config, Ear};

/// Runs a test whose clock jumps from deadline to deadline; it needs no watchdog, since a wait for nothing shows as
/// one for a year.
pub(crate) fn run_paused(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let year = Duration::from_secs(31_557_600);
    runtime.block_on(async { tokio::time::timeout(year, test).await.expect("the test waits for nothing") });
}

/// An environment in memory with scripted upstreams.
#[derive(Clone, Default)]
pub(crate) struct Memory(MemoryEnv);

impl Deref for Memory {
    type Target = MemoryEnv;

    fn deref(&self) -> &MemoryEnv {
        &self.0
    }
}

impl Memory {
    /// Serves each connection to `addr` by `script`, after `delay`.
    pub(crate) async fn serve<F, Fut>(&self, addr: SocketAddr, delay: Duration, script: F)
    where
        F: Fn(Client<MemoryStream>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let mut listener = self.bind(addr).await.unwrap();
        self.delay(addr, delay);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(script(Client::on(stream)));
            }
        });
    }

    /// Starts a proxy in it.
    pub(crate) async fn start(&self, config: Config) -> (Proxy<MemoryEnv>, Ear) {
        let ear = Ear::default();
        (Proxy::start(config, self.0.clone(), Arc::new(ear.clone())).await.unwrap(), ear)
    }

    /// A client connected to the proxy that listens on the tests' address.
    pub(crate) fn client(&self) -> Client<MemoryStream> {
        Client::on(self.0.client(SocketAddr::from(([127, 0, 0, 1], 3130))).unwrap())
    }
}

impl Client<MemoryStream> {
    /// Drops the connection with a reset.
    pub(crate) fn abort(self) {
        self.stream.abort();
    }
}
