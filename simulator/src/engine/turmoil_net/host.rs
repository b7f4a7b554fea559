//! Hosts and their tasks: each task runs as its host, is counted, can be killed, and must not panic.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::task::AbortHandle;
use turmoil_net::HostId;

use super::stream::{SimListener, SimStream, connect};
use super::with_world;
use crate::engine::{HostName, SimulatedHost, panic_text};

/// A host, as programs on it see it.
#[derive(Clone, Copy, Debug)]
pub struct SimHost(usize);

impl SimHost {
    /// The host of that name.
    pub(super) fn named(name: &HostName) -> Self {
        SimHost(with_world(|world| world.hosts.index(name)))
    }

    /// The one as which the caller runs.
    pub(super) fn here() -> Self {
        SimHost(CURRENT.get())
    }

    /// What follows is done by it.
    pub(super) fn enter(self) {
        enter(self.0);
    }

    /// Connections that its code holds.
    pub(super) fn connections(self) -> usize {
        with_world(|world| world.hosts.0[self.0].streams)
    }
}

impl SimulatedHost for SimHost {
    type Stream = SimStream;
    type Listener = SimListener;

    async fn bind(&self, address: SocketAddr) -> io::Result<SimListener> {
        SimListener::bind(address).await
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<SimStream> {
        connect(address).await
    }

    fn resolve(&self, name: &str) -> Option<Vec<IpAddr>> {
        with_world(|world| world.names.get(name).cloned())
    }

    fn start(&self, task: impl Future<Output = ()> + 'static) {
        spawn(self.0, task);
    }
}

/// All hosts of a world.
pub(super) struct Hosts(Vec<HostState>);

struct HostState {
    name: HostName,
    id: HostId,
    address: IpAddr,
    /// In the order they were started; some may have ended.
    tasks: Vec<AbortHandle>,
    live: usize,
    /// Streams that code of this host holds.
    streams: usize,
}

/// One of the streams that a host holds.
#[derive(Debug)]
pub(super) struct Counted(usize);

impl Counted {
    /// Of the host as which the caller runs.
    pub(super) fn here() -> Self {
        let host = CURRENT.get();
        with_world(|world| world.hosts.0[host].streams += 1);
        Counted(host)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        with_world(|world| world.hosts.0[self.0].streams -= 1);
    }
}

impl Hosts {
    pub(super) fn new(hosts: Vec<(HostName, HostId, IpAddr)>) -> Self {
        let host = |(name, id, address)| HostState { name, id, address, tasks: Vec::new(), live: 0, streams: 0 };
        Hosts(hosts.into_iter().map(host).collect())
    }

    pub(super) fn index(&self, name: &HostName) -> usize {
        self.0.iter().position(|host| host.name == *name).expect("scenarios name only hosts that they have")
    }

    pub(super) fn address(&self, index: usize) -> IpAddr {
        self.0[index].address
    }

    pub(super) fn address_named(&self, name: &HostName) -> IpAddr {
        self.address(self.index(name))
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.0.iter().map(|host| host.address)
    }

    pub(super) fn is_at(&self, address: IpAddr) -> bool {
        self.addresses().any(|one| one == address)
    }

    pub(super) fn live(&self, index: usize) -> usize {
        self.0[index].live
    }

    pub(super) fn abort_all(&mut self, index: usize) {
        for task in self.0[index].tasks.drain(..) {
            task.abort();
        }
    }
}

thread_local! {
    /// As which host code runs now.
    static CURRENT: Cell<usize> = const { Cell::new(0) };
    /// Whether a task has run since it was last looked at, and who wants to know.
    static RAN: Cell<bool> = const { Cell::new(false) };
    static WATCHER: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

pub(super) fn forget_activity() {
    RAN.set(false);
}

/// Ready once a task has run.
pub(super) fn poll_activity(cx: &mut Context<'_>) -> Poll<()> {
    if RAN.get() {
        return Poll::Ready(());
    }
    WATCHER.set(Some(cx.waker().clone()));
    Poll::Pending
}

/// What follows is done by the host with that index.
pub(super) fn enter(index: usize) {
    CURRENT.set(index);
    turmoil_net::set_current(with_world(|world| world.hosts.0[index].id));
}

/// What follows is done by the host at `address`.
pub(super) fn enter_at(address: IpAddr) {
    if let Some(index) = with_world(|world| world.hosts.0.iter().position(|host| host.address == address)) {
        enter(index);
    }
}

/// `port` of the host as which the caller runs.
pub(super) fn here(port: u16) -> SocketAddr {
    SocketAddr::new(with_world(|world| world.hosts.address(CURRENT.get())), port)
}

/// turmoil-net knows one current host; a task sets its own whenever it is polled or dropped.
struct Task<F: Future<Output = ()>> {
    host: usize,
    /// `None` once it has ended.
    work: Option<Pin<Box<F>>>,
}

/// Starts `work` on the host with that index.
pub(super) fn spawn<F: Future<Output = ()> + 'static>(host: usize, work: F) {
    with_world(|world| world.hosts.0[host].live += 1);
    let task = tokio::task::spawn_local(Task { host, work: Some(Box::pin(work)) });
    with_world(|world| {
        let host = &mut world.hosts.0[host];
        // Handles of ended tasks are let go from time to time, so that memory stays flat.
        if host.tasks.len() > 2 * host.live + 64 {
            host.tasks.retain(|task| !task.is_finished());
        }
        host.tasks.push(task.abort_handle());
    });
}

impl<F: Future<Output = ()>> Task<F> {
    fn end(&mut self) {
        if let Some(work) = self.work.take() {
            enter(self.host);
            drop(work);
            with_world(|world| world.hosts.0[self.host].live -= 1);
        }
    }
}

impl<F: Future<Output = ()>> Future for Task<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        RAN.set(true);
        if let Some(watcher) = WATCHER.take() {
            watcher.wake();
        }
        enter(self.host);
        let Some(work) = &mut self.work else { return Poll::Ready(()) };
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(())) => {}
            Err(panic) => {
                let text = panic_text(&*panic);
                with_world(|world| {
                    let line = format!("{}: {text}", world.hosts.0[self.host].name);
                    world.panics.push(line);
                });
            }
        }
        self.end();
        Poll::Ready(())
    }
}

impl<F: Future<Output = ()>> Drop for Task<F> {
    fn drop(&mut self) {
        self.end();
    }
}
