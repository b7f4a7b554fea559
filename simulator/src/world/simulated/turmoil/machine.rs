//! Holds the machines of a turmoil network and the processes on them: tasks are counted, can be killed, and must not panic.

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

/// The state that all hosts share.
#[derive(Debug)]
pub(super) struct Network {
    /// The host at each address.
    hosts: Mutex<BTreeMap<IpAddr, HostName>>,
    /// The addresses of each name.
    names: Mutex<BTreeMap<String, Vec<IpAddr>>>,
    /// The lines of connections that were accepted while their clients have not heard of it, by the addresses of client and listener.
    accepted: Mutex<BTreeMap<(SocketAddr, SocketAddr), Lines>>,
    panics: Mutex<Vec<String>>,
    patience: Patience,
    dice: Mutex<Dice>,
}

impl Network {
    pub(super) fn new(patience: Patience, dice: Dice) -> Self {
        let (hosts, names, accepted, panics) = Default::default();
        Network { hosts, names, accepted, panics, patience, dice: Mutex::new(dice) }
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

/// A host of the network.
#[derive(Debug)]
pub(super) struct Machine {
    name: HostName,
    address: IpAddr,
    network: Arc<Network>,
    /// The number of the process that runs on it. Each crash adds one.
    process: AtomicU64,
    tasks: Mutex<HostTasks>,
    streams: AtomicUsize,
}

impl Machine {
    pub(super) fn new(name: HostName, address: IpAddr, network: Arc<Network>) -> Self {
        let (process, tasks, streams) = Default::default();
        locked(&network.hosts).insert(address, name.clone());
        Machine { name, address, network, process, tasks, streams }
    }

    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// How many tasks of its process have not ended.
    pub(super) fn live(&self) -> usize {
        locked(&self.tasks).live()
    }

    /// How many connections its programs hold.
    pub(super) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Kills its process: from now on none of its tasks does anything.
    pub(super) fn die(&self) {
        self.process.fetch_add(1, Ordering::Relaxed);
        locked(&self.tasks).forget();
    }

    /// Drops the tasks of the killed process. This has to be called while the host runs.
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

    /// Counts a connection that the process holds from now on.
    pub(super) fn hold(&self) -> Held {
        self.machine.streams.fetch_add(1, Ordering::Relaxed);
        Held(self.clone())
    }

    /// The addresses of `name`, or `None` if it is unknown.
    pub(super) fn addresses_of(&self, name: &str) -> Option<Vec<IpAddr>> {
        locked(&self.machine.network.names).get(name).cloned()
    }

    /// The name of the host at `address`.
    pub(super) fn name_of(&self, address: IpAddr) -> Option<String> {
        locked(&self.machine.network.hosts).get(&address).map(HostName::to_string)
    }

    /// Makes the lines of a connection that `listener`, on this host, has accepted from `client`.
    pub(super) fn lay_lines(&self, client: SocketAddr, listener: SocketAddr) -> Lines {
        let lines = Lines::default();
        locked(&self.machine.network.accepted).insert((client, listener), lines.clone());
        lines
    }

    /// Finds the lines of the connection of `client`, on this host, which `listener` has accepted.
    pub(super) fn lines(&self, client: SocketAddr, listener: SocketAddr) -> Lines {
        // The listener makes them before the client hears that it was accepted. Loopback addresses are the same on all hosts, but
        // both ends of such a connection are on one host and run in the same step, so hosts don't get each other's lines.
        locked(&self.machine.network.accepted).remove(&(client, listener)).unwrap_or_default()
    }

    /// Makes a task of this process. The caller has to start it.
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
    /// The host that holds it.
    pub(super) fn host(&self) -> &SimHost {
        &self.0
    }

    /// Whether the process that held it was killed.
    pub(super) fn is_orphan(&self) -> bool {
        !self.0.is_alive()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.machine.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One task of a process.
pub(super) struct Task {
    host: SimHost,
    /// `None` once the task has ended.
    work: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Task {
    /// Starts the task on the host that turmoil is running.
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
            // The task goes to the end of the run queue.
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
