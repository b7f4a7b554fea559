//! The state of one simulated network, which sockets and tasks share; it lives on its thread for as long as the engine.
//!
//! So streams and environments stay plain values that can be sent between threads, as the proxy's types demand, though
//! they never are.

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

/// Everything that sockets and tasks of this thread reach for.
pub(super) struct NetState {
    pub(super) guard: EnterGuard,
    pub(super) started: Instant,
    pub(super) hosts: Hosts,
    pub(super) wire: Wire,
    /// Names and where they lead.
    pub(super) names: BTreeMap<String, Vec<IpAddr>>,
    /// Ports whose listener is not there for now.
    pub(super) closed_ports: Vec<SocketAddr>,
    /// Listeners that nobody has for now.
    pub(super) parked: Vec<(SocketAddr, TcpListener)>,
    pub(super) panics: Vec<String>,
    pub(super) patience: Patience,
    pub(super) dice: Dice,
}

thread_local! {
    static NET: RefCell<Option<NetState>> = const { RefCell::new(None) };
}

/// Runs `f` on this thread's network.
pub(super) fn with_net<R>(f: impl FnOnce(&mut NetState) -> R) -> R {
    NET.with(|slot| f(slot.borrow_mut().as_mut().expect("sockets and tasks live no longer than their engine")))
}

/// Puts `net` in its place on this thread.
pub(super) fn install(net: NetState) {
    NET.with(|slot| *slot.borrow_mut() = Some(net));
}

/// Takes it off this thread.
pub(super) fn remove() {
    let net = NET.with(|slot| slot.borrow_mut().take());
    drop(net);
}

impl NetState {
    /// Delivers what is due and puts on the wire what hosts have to send.
    pub(super) fn pass(&mut self) {
        let now = self.started.elapsed();
        let NetState { guard, wire, hosts, closed_ports, dice, .. } = self;
        wire.pass(now, guard, hosts, closed_ports, dice);
    }

    /// The clock shows `now`. Breaks if the run was given up.
    pub(super) fn step(&mut self, now: Duration) -> ControlFlow<()> {
        self.patience.step(now);
        if self.patience.gave_up().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Where nothing can happen on the network by itself: until when (`None`: until a task does something).
    pub(super) fn idle_until(&mut self) -> Option<Option<Duration>> {
        if self.wire.is_busy() {
            return None;
        }
        // What was lost is sent again after a count of steps, so these must not be skipped.
        if self.wire.has_lost() {
            if self.hosts.addresses().any(waits_for_an_answer) {
                return None;
            }
            self.wire.forget_losses();
        }
        Some(self.wire.next_due())
    }

    /// A task of the host with that index could have its turn.
    pub(super) fn turn(&mut self, host: usize) -> Turn {
        let NetState { hosts, patience, started, dice, .. } = self;
        if patience.turn(&hosts.at(host).name, || started.elapsed()) { dice.turn() } else { Turn::Never }
    }

    /// Resets the connection between `local`, one of ours, and `peer`.
    pub(super) fn reset(&mut self, local: SocketAddr, peer: SocketAddr) {
        self.wire.reset(local, peer);
    }
}

/// Whether the host at `address` has sent something that was not acknowledged.
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
