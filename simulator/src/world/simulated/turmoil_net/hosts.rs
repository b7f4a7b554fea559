//! Holds the hosts of one simulated network: their names, addresses and tasks.

use std::net::IpAddr;

use turmoil_net::HostId;

use crate::scenario::HostName;
use crate::world::tasks::HostTasks;

/// All hosts of the network.
pub(super) struct Hosts(Vec<HostState>);

/// One host of the network.
pub(super) struct HostState {
    pub(super) name: HostName,
    pub(super) id: HostId,
    pub(super) address: IpAddr,
    pub(super) tasks: HostTasks,
    /// How many streams the programs of this host hold.
    pub(super) streams: usize,
}

impl Hosts {
    pub(super) fn new(hosts: Vec<(HostName, HostId, IpAddr)>) -> Self {
        let host = |(name, id, address)| HostState { name, id, address, tasks: HostTasks::default(), streams: 0 };
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

    /// The host with that index.
    pub(super) fn at(&mut self, index: usize) -> &mut HostState {
        &mut self.0[index]
    }

    /// The index of the host at `address`.
    pub(super) fn index_at(&self, address: IpAddr) -> Option<usize> {
        self.addresses().position(|one| one == address)
    }
}
