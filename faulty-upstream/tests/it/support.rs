//! Provides a running faulty upstream, and a client that writes and reads raw bytes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use faulty_upstream::listen::{SocketListener, serve};
use faulty_upstream::plan::{Plan, parse};
use faulty_upstream::{CATALOGUE, FaultyUpstream};
use mock_upstreams::Settings;
use mock_upstreams::journal::{Counts, Event, Journal, Record};
use mock_upstreams::listen::dial;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub(crate) const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

/// Tests, each with the fault that it proves, so that a fault without a test can be found.
macro_rules! proofs {
    ($($(#[$attribute:meta])* $name:ident proves $fault:literal $body:block)*) => {
        pub(crate) const PROVED: &[&str] = &[$($fault),*];
        $(
            $(#[$attribute])*
            async fn $name() {
                $crate::support::watched(async $body).await
            }
        )*
    };
}
pub(crate) use proofs;

/// A faulty upstream on a free port; gone when dropped.
pub(crate) struct Faulty {
    pub(crate) address: SocketAddr,
    pub(crate) upstream: Arc<FaultyUpstream>,
    _task: JoinSet<()>,
}

pub(crate) fn upstream(plan: Plan) -> FaultyUpstream {
    let journal = Arc::new(Journal::new("f", Arc::new(|| SystemTime::UNIX_EPOCH), 1000, None));
    FaultyUpstream::new("f", Settings::default(), journal, plan)
}

/// A plan of one entry.
pub(crate) fn plan_of(entry: &str) -> Plan {
    parse(&format!(r#"{{"seed": 1, "faults": [{entry}]}}"#)).unwrap()
}

impl Faulty {
    pub(crate) async fn start(entry: &str) -> Faulty {
        Faulty::serving(upstream(plan_of(entry)))
    }

    /// One that speaks TLS, with a certificate for `name`.
    pub(crate) async fn over_tls(name: &str, entry: &str) -> Faulty {
        Faulty::serving(upstream(plan_of(entry)).over_tls(name).unwrap())
    }

    fn serving(upstream: FaultyUpstream) -> Faulty {
        let listener = SocketListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address();
        let upstream = Arc::new(upstream);
        let mut task = JoinSet::new();
        let serving = serve(listener, upstream.clone(), std::future::pending());
        task.spawn(async move { serving.await.unwrap() });
        Faulty { address, upstream, _task: task }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(crate) async fn until(&self, reached: impl Fn(&Counts) -> bool) {
        self.upstream.journal().until(reached).await;
    }

    /// The first request, once it is over and its connection closed.
    pub(crate) async fn record(&self) -> Record {
        self.until(|counts| counts.requests == 1 && counts.open_connections == 0).await;
        self.upstream.journal().requests().remove(0)
    }

    /// The faults that struck connections, once those are closed.
    pub(crate) async fn connection_faults(&self) -> Vec<String> {
        self.until(|counts| counts.connections > 0 && counts.open_connections == 0).await;
        let entries = self.upstream.journal().entries();
        let faults = entries.into_iter().filter_map(|entry| match entry.event {
            Event::Struck { fault, .. } => Some(fault),
            _ => None,
        });
        faults.collect()
    }
}

/// One connection through an in-memory pipe, for tests under paused time.
pub(crate) struct Pipe {
    pub(crate) client: DuplexStream,
    pub(crate) upstream: Arc<FaultyUpstream>,
    _task: JoinSet<()>,
}

impl Pipe {
    pub(crate) fn open(entry: &str, capacity: usize) -> Pipe {
        let upstream = Arc::new(upstream(plan_of(entry)));
        let (client, served) = tokio::io::duplex(capacity);
        let mut task = JoinSet::new();
        let serving = upstream.clone();
        task.spawn(async move { serving.serve(served, dial).await });
        Pipe { client, upstream, _task: task }
    }

    /// A tunnel to `target`, established.
    pub(crate) async fn tunnel(entry: &str, target: &str) -> Pipe {
        let mut pipe = Pipe::open(entry, 1 << 20);
        pipe.client.write_all(connect_to(target).as_bytes()).await.unwrap();
        assert_eq!(read_head(&mut pipe.client).await, ESTABLISHED);
        pipe
    }
}

pub(crate) fn connect_to(target: &str) -> String {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")
}

pub(crate) async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

pub(crate) async fn read_exactly(stream: &mut (impl AsyncRead + Unpin), count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

/// Reads one head, byte by byte so that nothing behind it is taken.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// The next thing that comes is a reset.
pub(crate) async fn expect_reset(stream: &mut (impl AsyncRead + Unpin)) {
    let error = stream.read_u8().await.expect_err("a byte instead of a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

/// Neither a byte nor an end comes while other connections of this machine do their work.
pub(crate) async fn expect_silence(stream: &mut (impl AsyncRead + Unpin)) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    let others = async {
        for _ in 0..50 {
            near.write_u8(1).await.unwrap();
            far.read_u8().await.unwrap();
        }
    };
    tokio::select! {
        biased;
        read = stream.read_u8() => panic!("{read:?} instead of silence"),
        () = others => {}
    }
}

/// Fails a test that hangs.
pub(crate) async fn watched<T>(test: impl Future<Output = T>) -> T {
    // Beyond every span that a test under paused time waits for.
    tokio::time::timeout(Duration::from_secs(120), test).await.expect("the test hangs")
}

pub(crate) fn every_fault() -> Vec<&'static str> {
    CATALOGUE.iter().map(|fault| fault.name).collect()
}
