//! turmoil-net knows one current host; this file says which it is, and sets it.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};

use super::state::with_net;

thread_local! {
    /// The index of the host as which code runs now.
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// The index of the host as which the caller runs.
pub(super) fn current() -> usize {
    CURRENT.get()
}

/// What follows is done by the host with that index.
pub(super) fn enter(index: usize) {
    CURRENT.set(index);
    turmoil_net::set_current(with_net(|net| net.hosts.at(index).id));
}

/// What follows is done by the host at `address`.
pub(super) fn enter_at(address: IpAddr) {
    if let Some(index) = with_net(|net| net.hosts.index_at(address)) {
        enter(index);
    }
}

/// `port` of the host as which the caller runs.
pub(super) fn here(port: u16) -> SocketAddr {
    SocketAddr::new(with_net(|net| net.hosts.address(CURRENT.get())), port)
}

/// One of the streams that a host holds.
#[derive(Debug)]
pub(super) struct Counted(usize);

impl Counted {
    /// Of the host as which the caller runs.
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
