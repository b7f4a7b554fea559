//! Provides upstreams: a well-behaved double, and one that does as a test says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use mock_upstreams::{Journal, Settings, Upstream};
use tokio::net::TcpListener;

use super::Client;

/// Entries a double's journal keeps.
const JOURNAL: usize = 10_000;

/// An upstream on a free port, for as long as the test runs.
pub(crate) struct Double {
    pub(crate) addr: SocketAddr,
}

/// What an upstream sees of one connection: the same raw tools as a client has.
pub(crate) type Peer = Client;

impl Double {
    /// A mock upstream with its built-in targets (`echo.mock`, `http.mock`, …), named `name`.
    pub(crate) async fn mock(name: &str) -> (Self, Arc<Journal>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let journal = Arc::new(Journal::new(name, Arc::new(SystemTime::now), JOURNAL, None));
        let upstream = Arc::new(Upstream::new(name, Settings::default(), Arc::clone(&journal)));
        tokio::spawn(mock_upstreams::listen::listen(listener, upstream, std::future::pending()));
        (Double { addr }, journal)
    }

    /// Serves each connection, numbered from 0, by `script`.
    pub(crate) async fn scripted<F, Fut>(script: F) -> Self
    where
        F: Fn(usize, Peer) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(script(number, Client::over(stream)));
            }
        });
        Double { addr }
    }

    /// One that answers every CONNECT with `reply` and then echoes.
    pub(crate) async fn replying(reply: &'static str) -> Self {
        Self::scripted(move |_, mut peer| async move {
            peer.head().await;
            peer.send(reply).await;
            // The proxy closes what it has no use for.
            let _ = peer.rest().await;
        })
        .await
    }

    /// An address where nobody listens.
    pub(crate) async fn refusing() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }
}
