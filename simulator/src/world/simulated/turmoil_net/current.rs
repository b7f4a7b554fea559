//! turmoil-net acts for one host at a time, the current one; this file tells which one that is, and switches it.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};

use super::state::with_net;

thread_local! {
    /// The index of the host whose code is running.
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// The index of the host whose code is calling.
pub(super) fn current() -> usize {
    CURRENT.get()
}

/// Makes the host with that index the current one: it opens the sockets that are opened from now on.
pub(super) fn enter(index: usize) {
    CURRENT.set(index);
    turmoil_net::set_current(with_net(|net| net.hosts.at(index).id));
}

/// Makes the host at `address` the current one.
pub(super) fn enter_at(address: IpAddr) {
    if let Some(index) = with_net(|net| net.hosts.index_at(address)) {
        enter(index);
    }
}

/// The address of `port` on the current host.
pub(super) fn here(port: u16) -> SocketAddr {
    SocketAddr::new(with_net(|net| net.hosts.address(CURRENT.get())), port)
}

/// Counts one stream of a host for as long as it lives.
#[derive(Debug)]
pub(super) struct Counted(usize);

impl Counted {
    /// Counts a stream of the current host.
    pub(super) fn here() -> Self {
        let host = CURRENT.get();
        with_net(|net| net.hosts.at(host).streams += 1);
        Counted(host)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        with_net(|net| net.hosts.at(self.0).streams -= 1);
    }
}
