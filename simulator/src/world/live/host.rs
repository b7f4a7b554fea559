//! A live host has an address on loopback and the tasks of the process that runs there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;

use faulty_upstream::listen::SocketListener;
use tokio::net::TcpSocket;
use tokio::task::{AbortHandle, spawn_local};

use super::address::Block;
use super::stream::{Killed, LiveListener, LiveStream};
use crate::scenario::HostName;
use crate::world::engine::Host;
use crate::world::tasks::{HostTasks, poll_catching};

/// A host, as the programs on it see it.
#[derive(Clone, Debug)]
pub struct LiveHost {
    name: HostName,
    address: IpAddr,
    state: Rc<RefCell<State>>,
}

#[derive(Debug, Default)]
struct State {
    killed: Killed,
    tasks: HostTasks,
    panics: Vec<String>,
}

impl LiveHost {
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    pub(super) fn live_tasks(&self) -> usize {
        self.state.borrow().tasks.live()
    }

    pub(super) fn abort_all(&self) {
        let tasks = {
            let mut state = self.state.borrow_mut();
            state.killed.kill();
            state.tasks.take()
        };
        // An abort may drop its task at once, and the drop locks the state. So the state must not be locked here.
        tasks.iter().for_each(AbortHandle::abort);
    }

    /// Begins another process: connections that are opened from now on belong to it.
    pub(super) fn begin_anew(&self) {
        self.state.borrow_mut().killed = Killed::default();
    }

    fn killed(&self) -> Killed {
        self.state.borrow().killed.clone()
    }
}

impl Host for LiveHost {
    type Stream = LiveStream;
    type Listener = LiveListener;

    async fn connect(&self, address: SocketAddr) -> io::Result<LiveStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(self.address, 0))?;
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(LiveStream::new(stream, self.killed()))
    }

    async fn listen(&self, port: u16) -> io::Result<LiveListener> {
        let address = SocketAddr::new(self.address, port);
        let said = |error: io::Error| io::Error::new(error.kind(), format!("{address}: can't listen: {error}"));
        Ok(LiveListener::new(SocketListener::bind(address).map_err(said)?, self.killed()))
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.state.borrow_mut().tasks.begin();
        let alive = Alive(self.clone());
        let handle = spawn_local(async move {
            let mut task = pin!(task);
            if let Err(text) = poll_fn(|cx| poll_catching(task.as_mut(), cx)).await {
                alive.0.state.borrow_mut().panics.push(format!("{}: {text}", alive.0.name));
            }
            drop(alive);
        });
        self.state.borrow_mut().tasks.keep(handle.abort_handle());
    }
}

/// Counts a task of a host until the task has ended.
struct Alive(LiveHost);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.state.borrow_mut().tasks.end();
    }
}

/// All hosts of a run.
pub(super) struct Hosts {
    hosts: BTreeMap<HostName, LiveHost>,
    _block: Block,
}

impl Hosts {
    pub(super) fn new(names: &[HostName], block: Block) -> io::Result<Self> {
        let mut hosts = BTreeMap::new();
        for (index, name) in names.iter().enumerate() {
            let address = block.address(index).ok_or_else(|| io::Error::other("more hosts than addresses"))?;
            hosts.insert(name.clone(), LiveHost { name: name.clone(), address: address.into(), state: Rc::default() });
        }
        Ok(Hosts { hosts, _block: block })
    }

    pub(super) fn named(&self, name: &HostName) -> &LiveHost {
        self.hosts.get(name).expect("scenarios name only hosts that they have")
    }

    pub(super) fn names(&self) -> BTreeMap<IpAddr, HostName> {
        self.hosts.values().map(|host| (host.address, host.name.clone())).collect()
    }

    pub(super) fn panics(&self) -> Vec<String> {
        self.hosts.values().flat_map(|host| host.state.borrow().panics.clone()).collect()
    }
}
