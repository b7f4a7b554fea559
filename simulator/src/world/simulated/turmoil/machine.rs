//! The machines of a turmoil network and the processes on them: tasks are counted, can be killed, and must not panic.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use super::line::Line;
use crate::scenario::HostName;
use crate::world::patience::Patience;
use crate::world::simulated::chance::{Dice, Turn};
use crate::world::tasks::{HostTasks, poll_catching};

/// The two directions of a connection: from its client, and to it.
type Lines = (Line, Line);

/// What all hosts share.
#[derive(Debug)]
pub(super) struct Network {
    /// Names and where they lead.
    names: Mutex<BTreeMap<String, Vec<IpAddr>>>,
    /// Connections that were accepted and that their clients do not know of yet, by client and listener.
    accepted: Mutex<BTreeMap<(SocketAddr, SocketAddr), Lines>>,
    panics: Mutex<Vec<String>>,
    patience: Patience,
    dice: Mutex<Dice>,
}

impl Network {
    pub(super) fn new(patience: Patience, dice: Dice) -> Self {
        let (names, accepted, panics) = Default::default();
        Network { names, accepted, panics, patience, dice: Mutex::new(dice) }
    }

    pub(super) fn patience(&self) -> &Patience {
        &self.patience
    }

    pub(super) fn set_name(&self, name: &str, addresses: Vec<IpAddr>) {
        locked(&self.names).insert(name.to_owned(), addresses);
    }

    pub(super) fn panics(&self) -> Vec<String> {
        locked(&self.panics).clone()
    }
}

/// A host.
#[derive(Debug)]
pub(super) struct Machine {
    name: HostName,
    address: IpAddr,
    network: Arc<Network>,
    /// The number of its process; each crash begins another.
    process: AtomicU64,
    tasks: Mutex<HostTasks>,
    streams: AtomicUsize,
}

impl Machine {
    pub(super) fn new(name: HostName, address: IpAddr, network: Arc<Network>) -> Self {
        let (process, tasks, streams) = Default::default();
        Machine { name, address, network, process, tasks, streams }
    }

    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// Tasks of its process that have not ended.
    pub(super) fn live(&self) -> usize {
        locked(&self.tasks).live()
    }

    /// Connections that its code holds.
    pub(super) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Its process is killed: from now on no task of it does anything.
    pub(super) fn die(&self) {
        self.process.fetch_add(1, Ordering::Relaxed);
        locked(&self.tasks).forget();
    }

    /// Drops what is left of tasks, once the host runs.
    pub(super) fn bury(&self) {
        let tasks = locked(&self.tasks).take();
        for task in tasks {
            task.abort();
        }
    }
}

/// A process on a host, as its programs see it.
#[derive(Clone, Debug)]
pub(in crate::world) struct SimHost {
    machine: Arc<Machine>,
    process: u64,
}

impl SimHost {
    /// The process that runs on `machine` now.
    pub(super) fn of(machine: &Arc<Machine>) -> Self {
        SimHost { machine: Arc::clone(machine), process: machine.process.load(Ordering::Relaxed) }
    }

    fn is_alive(&self) -> bool {
        self.machine.process.load(Ordering::Relaxed) == self.process
    }

    /// A connection that it holds from now on.
    pub(super) fn hold(&self) -> Held {
        self.machine.streams.fetch_add(1, Ordering::Relaxed);
        Held(self.clone())
    }

    /// Where `name` leads.
    pub(super) fn addresses_of(&self, name: &str) -> Option<Vec<IpAddr>> {
        locked(&self.machine.network.names).get(name).cloned()
    }

    /// The lines of the connection that `listener` here has accepted from `client`.
    pub(super) fn lay_lines(&self, client: SocketAddr, listener: SocketAddr) -> Lines {
        let lines = Lines::default();
        locked(&self.machine.network.accepted).insert((client, listener), lines.clone());
        lines
    }

    /// The lines of the connection that `listener` has accepted from `client` here.
    pub(super) fn lines(&self, client: SocketAddr, listener: SocketAddr) -> Lines {
        // A listener lays them before its client hears of it. Both ends of a loopback connection have their turn together, so
        // that the same addresses on another host are not mixed up with them.
        locked(&self.machine.network.accepted).remove(&(client, listener)).unwrap_or_default()
    }

    /// A task of it, to be started.
    pub(super) fn task(&self, work: impl Future<Output = ()> + 'static) -> Task {
        if self.is_alive() {
            locked(&self.machine.tasks).begin();
        }
        Task { host: self.clone(), work: Some(Box::pin(work)) }
    }
}

/// One of the connections that a process holds.
#[derive(Debug)]
pub(super) struct Held(SimHost);

impl Held {
    /// Whether its process was killed.
    pub(super) fn is_orphan(&self) -> bool {
        !self.0.is_alive()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.machine.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a process does, beside its other tasks.
pub(super) struct Task {
    host: SimHost,
    /// `None` once it has ended.
    work: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Task {
    /// Starts it on the host that is having its turn.
    pub(super) fn start(self) {
        let machine = Arc::clone(&self.host.machine);
        let task = tokio::task::spawn_local(self);
        locked(&machine.tasks).keep(task.abort_handle());
    }

    fn end(&mut self) {
        if let Some(work) = self.work.take() {
            drop(work);
            if self.host.is_alive() {
                locked(&self.host.machine.tasks).end();
            }
        }
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Machine { name, network, .. } = &*self.host.machine;
        if !network.patience.turn(name, || ::turmoil::sim_elapsed().unwrap_or_default()) {
            return Poll::Pending;
        }
        if locked(&network.dice).turn() == Turn::Later {
            // To the end of the line.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let alive = self.host.is_alive();
        if let Some(work) = self.work.as_mut().filter(|_| alive) {
            let Poll::Ready(ended) = poll_catching(work.as_mut(), cx) else {
                let network = &self.host.machine.network;
                if locked(&network.dice).wakes_for_nothing() {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            };
            if let Err(text) = ended {
                let line = format!("{}: {text}", self.host.machine.name);
                locked(&self.host.machine.network.panics).push(line);
            }
        }
        self.end();
        Poll::Ready(())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.end();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
