//! Sockets and tasks share the state of their simulated network, which is kept in a variable of its thread.
//!
//! The proxy's types demand that streams and environments can be sent between threads, though a simulation never sends them.
//! They can, because they hold no reference to this state: they look it up on their thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::Instant;
use turmoil_net::shim::tokio::net::TcpListener;
use turmoil_net::{EnterGuard, NetstatState};

use super::hosts::Hosts;
use super::wire::Wire;
use crate::world::patience::Patience;
use crate::world::simulated::chance::{Dice, Turn};

/// The network of this thread and everything that its sockets and tasks need.
pub(super) struct NetState {
    pub(super) guard: EnterGuard,
    pub(super) started: Instant,
    pub(super) hosts: Hosts,
    pub(super) wire: Wire,
    /// The addresses of each name.
    pub(super) names: BTreeMap<String, Vec<IpAddr>>,
    /// Ports on which nobody listens now, though somebody did before.
    pub(super) closed_ports: Vec<SocketAddr>,
    /// Listeners whose owners have dropped them. The next one who listens on such an address gets that listener.
    pub(super) parked: Vec<(SocketAddr, TcpListener)>,
    pub(super) panics: Vec<String>,
    /// Until when a lost segment is taken to wait for being sent again.
    pub(super) look_again: Duration,
    pub(super) patience: Patience,
    pub(super) dice: Dice,
}

/// A lost segment is sent again this much too late at most. Looking at every step whether its time has come took a tenth of a run.
const AGAIN_WITHIN: Duration = Duration::from_millis(16);

thread_local! {
    static NET: RefCell<Option<NetState>> = const { RefCell::new(None) };
}

/// Calls `f` with this thread's network.
pub(super) fn with_net<R>(f: impl FnOnce(&mut NetState) -> R) -> R {
    NET.with(|slot| f(slot.borrow_mut().as_mut().expect("sockets and tasks live no longer than their engine")))
}

/// Makes `net` the network of this thread.
pub(super) fn install(net: NetState) {
    NET.with(|slot| *slot.borrow_mut() = Some(net));
}

/// Drops the network of this thread.
pub(super) fn remove() {
    let net = NET.with(|slot| slot.borrow_mut().take());
    drop(net);
}

impl NetState {
    /// Delivers the packets that are due, and takes the packets that hosts want to send. As many `steps` have gone by since it was last
    /// called.
    pub(super) fn pass(&mut self, steps: u32) {
        let now = self.started.elapsed();
        let NetState { guard, wire, hosts, closed_ports, dice, .. } = self;
        wire.pass(now, steps, guard, hosts, closed_ports, dice);
    }

    /// Notes that the clock shows `now`. Returns `Break` if the run was given up.
    pub(super) fn step(&mut self, now: Duration) -> ControlFlow<()> {
        self.patience.step(now);
        if self.patience.gave_up().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Until when nothing happens on the network unless a task does something. The inner `None` means for ever; the outer `None` means
    /// that something may happen at the next step.
    pub(super) fn idle_until(&mut self, now: Duration) -> Option<Option<Duration>> {
        if self.wire.resets_wait() {
            return None;
        }
        let due = self.wire.next_due();
        if self.wire.has_lost() {
            if now >= self.look_again && self.hosts.addresses().any(waits_for_an_answer) {
                self.look_again = now + AGAIN_WITHIN;
            }
            if now < self.look_again {
                return Some(Some(due.map_or(self.look_again, |due| due.min(self.look_again))));
            }
            self.wire.forget_losses();
        }
        Some(due)
    }

    /// Decides whether a task of the host with that index, which is ready, runs now.
    pub(super) fn turn(&mut self, host: usize) -> Turn {
        let NetState { hosts, patience, started, dice, .. } = self;
        if patience.turn(&hosts.at(host).name, || started.elapsed()) { dice.turn() } else { Turn::Never }
    }

    /// Resets the connection between `local`, a socket of the current host, and `peer`.
    pub(super) fn reset(&mut self, local: SocketAddr, peer: SocketAddr) {
        self.wire.reset(local, peer);
    }
}

/// Whether the host at `address` has sent something that is not acknowledged yet.
fn waits_for_an_answer(address: IpAddr) -> bool {
    turmoil_net::netstat(address).entries.iter().any(|entry| {
        let opening_or_closing = matches!(
            entry.state,
            Some(
                NetstatState::SynSent
                    | NetstatState::SynReceived
                    | NetstatState::FinWait1
                    | NetstatState::LastAck
                    | NetstatState::Closing
            )
        );
        entry.state != Some(NetstatState::Listen) && (entry.send_q > 0 || opening_or_closing)
    })
}
