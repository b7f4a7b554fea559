//! Measures what the relay carries: the operating system's (splice once bytes stream) against the one through a buffer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use proxy::env::os::{Os, OsStream};
use proxy::env::{Early, Env, Listener, RelayLimits, Stop, Traffic, relay_buffered};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

const LIMITS: RelayLimits = RelayLimits { idle: Duration::from_secs(600), half_closed: Duration::from_secs(600) };
const MIB: usize = 1 << 20;

/// The two ways.
#[derive(Clone, Copy)]
enum Way {
    System,
    Buffered,
}

impl Way {
    const ALL: [(&str, Way); 2] = [("system", Way::System), ("buffered", Way::Buffered)];
}

/// A client and a target with a relay between them, which runs on the runtime's own thread.
struct Joined {
    client: TcpStream,
    target: TcpStream,
}

impl Joined {
    async fn new(way: Way) -> std::io::Result<Self> {
        let os = Os::new();
        let mut listener = os.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let (from_client, _): (OsStream, _) = listener.accept().await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let to_target = os.connect(listener.local_addr()?).await?;
        let (target, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        target.set_nodelay(true)?;
        let traffic = Arc::new(Traffic::default());
        os.clone().spawn(async move {
            let (early, stop) = (Early::default(), Stop::new());
            match way {
                Way::System => os.relay(from_client, to_target, early, LIMITS, traffic, stop).await,
                Way::Buffered => relay_buffered(from_client, to_target, early, LIMITS, traffic, stop).await,
            };
        });
        Ok(Joined { client, target })
    }

    async fn send(&mut self, block: &[u8], into: &mut [u8]) -> std::io::Result<()> {
        let (sent, received) = tokio::join!(self.target.write_all(block), self.client.read_exact(into));
        sent.and(received.map(drop))
    }

    async fn ping_pong(&mut self, message: &[u8], into: &mut [u8]) -> std::io::Result<()> {
        self.client.write_all(message).await?;
        self.target.read_exact(into).await?;
        self.target.write_all(message).await?;
        self.client.read_exact(into).await?;
        Ok(())
    }
}

fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime starts where benches run")
}

fn download(c: &mut Criterion) {
    let runtime = runtime();
    for (name, bytes) in [("16 KiB", 16 * 1024), ("1 MiB", MIB), ("64 MiB", 64 * MIB)] {
        let mut group = c.benchmark_group(format!("relay/{name}"));
        group.throughput(Throughput::Bytes(bytes as u64)).sample_size(10);
        for (way_name, way) in Way::ALL {
            let mut joined = runtime.block_on(Joined::new(way)).expect("loopback works");
            let (block, mut into) = (vec![7; bytes], vec![0; bytes]);
            group.bench_function(way_name, |b| {
                b.iter(|| runtime.block_on(joined.send(&block, &mut into)).expect("the relay runs"));
            });
        }
        group.finish();
    }
}

fn ping_pong(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("relay/ping-pong of 64 bytes");
    for (way_name, way) in Way::ALL {
        let mut joined = runtime.block_on(Joined::new(way)).expect("loopback works");
        let (message, mut into) = ([7; 64], [0; 64]);
        group.bench_function(way_name, |b| {
            b.iter(|| runtime.block_on(joined.ping_pong(&message, &mut into)).expect("the relay runs"));
        });
    }
    group.finish();
}

criterion_group!(benches, download, ping_pong);
criterion_main!(benches);
