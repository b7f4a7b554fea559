//! Implements the environment on the operating system: sockets, threads, clock and randomness.
//!
//! The only place that names `tokio::net`, splice(2) and the system clock.

pub mod descriptors;
mod process;
mod socket;
mod splice;
mod threads;

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::sync::Arc;
use std::time::SystemTime;

use rand::Rng;
use socket2::SockRef;
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;

use super::relay;
use super::{Busy, Early, Env, ProcessFigures, RelayLimits, Relayed, Stop, Traffic};
pub use socket::{ListenerHandle, OsListener, OsStream};
use socket::{answer_before_acknowledging, set_options};
use splice::SplicePump;
pub use threads::runtime;

/// Connections the kernel may hold for us before we accept them; the system's own cap applies too.
const BACKLOG: u32 = 4096;

/// Offloaded jobs that may wait for each core.
const QUEUE_PER_CORE: usize = 64;

/// Name lookups at once. Each blocks a thread, for half a minute where the name servers are dead; the next ones queue.
const LOOKUPS: usize = 8;

/// The operating system.
#[derive(Clone, Debug)]
pub struct Os {
    workers: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
}

impl Os {
    /// One for this process.
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        Os {
            workers: Arc::new(Semaphore::new(cores)),
            admitted: Arc::new(Semaphore::new(cores * (1 + QUEUE_PER_CORE))),
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
        }
    }
}

impl Default for Os {
    fn default() -> Self {
        Os::new()
    }
}

/// The system's clock.
#[expect(clippy::disallowed_methods, reason = "this is where Env::wall becomes the system clock")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// Listens on `addr`.
fn listen(addr: SocketAddr) -> io::Result<OsListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuseaddr(true)?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        // `[::]` means every address of either family, whatever the system's default is.
        SockRef::from(&socket).set_only_v6(false)?;
    }
    // Accepted connections inherit them; setting them on each would be five system calls for every client.
    set_options(SockRef::from(&socket))?;
    socket.bind(addr)?;
    let listening = socket.listen(BACKLOG)?;
    answer_before_acknowledging(&listening);
    Ok(OsListener::new(listening))
}

/// Whether every address was asked for on a machine that has no IPv6, where those of IPv4 are all there are.
fn lacks_ipv6(addr: SocketAddr, error: &io::Error) -> bool {
    // Linux numbers: EAFNOSUPPORT without the protocol, EADDRNOTAVAIL where it is switched off.
    addr.is_ipv6() && addr.ip().is_unspecified() && matches!(error.raw_os_error(), Some(97 | 99))
}

impl Env for Os {
    type Stream = OsStream;
    type Listener = OsListener;

    async fn bind(&self, addr: SocketAddr) -> io::Result<OsListener> {
        match listen(addr) {
            Err(error) if lacks_ipv6(addr, &error) => listen((Ipv4Addr::UNSPECIFIED, addr.port()).into()),
            listening => listening,
        }
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<OsStream> {
        socket::connect(addr).await
    }

    #[expect(clippy::disallowed_methods, reason = "the system's resolver blocks a thread")]
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let ended = |_| io::Error::other("the lookup ended without an answer");
        let lookup =
            Arc::clone(&self.lookups).acquire_owned().await.map_err(|_| io::Error::other("no more lookups"))?;
        let host = host.to_owned();
        let found = tokio::task::spawn_blocking(move || {
            let found = (host, port).to_socket_addrs()?.collect();
            // Held for as long as the thread is, whoever has stopped waiting for it.
            drop(lookup);
            Ok(found)
        });
        found.await.map_err(ended)?
    }

    #[expect(clippy::disallowed_methods, reason = "this is where Env::spawn becomes tokio's")]
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        drop(tokio::spawn(task));
    }

    fn wall(&self) -> SystemTime {
        wall()
    }

    fn process(&self) -> Option<ProcessFigures> {
        process::figures()
    }

    #[expect(clippy::disallowed_methods, reason = "this is where Env::rand_u64 becomes the system's randomness")]
    fn rand_u64(&self) -> u64 {
        rand::rng().next_u64()
    }

    fn max_connections(&self) -> NonZeroUsize {
        descriptors::max_connections_for(descriptors::nofile())
    }

    fn max_kept(&self) -> usize {
        descriptors::kept_connections_for(descriptors::nofile())
    }

    #[expect(clippy::disallowed_methods, reason = "this is where Env::offload becomes a thread")]
    async fn offload<T, F>(&self, job: F) -> Result<T, Busy>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let _admitted = self.admitted.try_acquire().map_err(|_| Busy)?;
        let _worker = self.workers.acquire().await.map_err(|_| Busy)?;
        // A job that panicked has no answer; to the caller that is the same as no room for it.
        tokio::task::spawn_blocking(job).await.map_err(|_| Busy)
    }

    fn relay<T>(
        &self,
        client: OsStream,
        upstream: OsStream,
        early: Early,
        limits: RelayLimits,
        traffic: T,
        stop: Stop,
    ) -> impl Future<Output = Relayed> + Send + use<T>
    where
        T: Deref<Target = Traffic> + Send + Sync + 'static,
    {
        let pumps = (SplicePump::starting_with(&early.to_upstream), SplicePump::starting_with(&early.to_client));
        relay::relay(client, upstream, pumps, limits, traffic, stop)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    #[test]
    fn every_address_is_every_one_of_ipv4_where_there_is_no_ipv6() {
        let error = io::Error::from_raw_os_error;
        let [any, one, any_v4] = ["[::]:1", "[::1]:1", "0.0.0.0:1"].map(|addr| addr.parse().unwrap());
        assert!(lacks_ipv6(any, &error(97)) && lacks_ipv6(any, &error(99)));
        assert!(!lacks_ipv6(any, &error(98)), "in use is in use");
        assert!(!lacks_ipv6(one, &error(99)) && !lacks_ipv6(any_v4, &error(99)));
    }

    /// With one thread for all blocking work, a lookup that had begun would be over before what is offloaded behind it.
    #[test]
    fn a_lookup_takes_no_thread_before_its_turn_and_hashing_does_not_wait_for_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let os = Os::new();
            let others = Arc::clone(&os.lookups).acquire_many_owned(LOOKUPS as u32).await.unwrap();
            let mut lookup = std::pin::pin!(os.resolve("localhost", 1));
            for _ in 0..2 {
                let is_waiting = std::future::poll_fn(|cx| Poll::Ready(lookup.as_mut().poll(cx).is_pending()));
                assert!(is_waiting.await);
                assert_eq!(os.offload(|| 7).await, Ok(7));
            }
            drop(others);
            assert!(lookup.await.unwrap().iter().all(|addr| addr.ip().is_loopback()));
        });
    }
}
