//! Counts the open connections of a proxy, and holds the signals that end them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::tunnels::Tunnels;
use crate::env::Stop;

/// The life of one proxy, shared by everything that runs in it.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// Drain has begun: unready, and every response says that its connection closes.
    unready: AtomicBool,
    /// Another process has the listening sockets, and accepts the clients from now on.
    pub(crate) handed_over: Stop,
    /// Accepting has stopped; connections between requests close.
    pub(crate) closing: Stop,
    /// Nobody waits to be accepted any more.
    pub(crate) closed: Stop,
    /// The drain deadline has passed; what is left is reset.
    pub(crate) reset: Stop,
    /// Those that are open.
    pub(crate) tunnels: Tunnels,
    open: AtomicUsize,
    resets: AtomicUsize,
    left: Notify,
}

impl Connections {
    pub(crate) fn become_unready(&self) {
        self.unready.store(true, Ordering::Release);
    }

    /// Whether it drains and nobody else serves its addresses. Where another process does, a load balancer must not take them out
    /// for what a last request on an old connection is told.
    pub(crate) fn gives_up_its_addresses(&self) -> bool {
        self.is_unready() && !self.handed_over.fired()
    }

    pub(crate) fn is_unready(&self) -> bool {
        self.unready.load(Ordering::Acquire)
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Connections that the drain deadline has reset.
    pub(crate) fn resets(&self) -> usize {
        self.resets.load(Ordering::Acquire)
    }

    pub(crate) fn count_reset(&self) {
        self.resets.fetch_add(1, Ordering::AcqRel);
    }

    /// A place for a connection that was accepted. Who accepts has waited for room before; see [`Connections::wait_for_fewer`].
    pub(crate) fn enter(self: &Arc<Self>) -> ConnectionSlot {
        self.open.fetch_add(1, Ordering::AcqRel);
        ConnectionSlot(Arc::clone(self))
    }

    /// Waits until fewer than `fewer_than` connections are open. Cancel safe.
    pub(crate) async fn wait_for_fewer(&self, fewer_than: usize) {
        loop {
            let left = self.left.notified();
            if self.open() < fewer_than {
                return;
            }
            left.await;
        }
    }
}

/// One connection's place among the open ones; given back when dropped.
#[derive(Debug)]
pub(crate) struct ConnectionSlot(Arc<Connections>);

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        // A permit is kept for the next waiter, so that leaving between its check and its wait is not missed.
        self.0.left.notify_one();
    }
}
