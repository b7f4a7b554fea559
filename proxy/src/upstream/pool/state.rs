//! Holds what one pool decides step by step, under its lock: health, blame, probes.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::core::attribution::{Attribution, DEFAULT_MEMORY};
use crate::core::balancer::Balancer;
use crate::core::network::OwnNetwork;
use crate::core::time::Timestamp;
use crate::env::{Held, Lock};

/// Where failures that cannot tell are remembered until another upstream opens the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureMemory {
    /// Of clients' requests: some seconds.
    Requests,
    /// Of active checks, which come at their interval: longer than that.
    Checks,
    /// Of tunnels that brought nothing: until another upstream delivers from the target.
    EmptyTunnels,
}

/// What is decided.
pub(super) struct State {
    pub(super) balancer: Balancer,
    requests: Attribution,
    checks: Attribution,
    empty_tunnels: Attribution,
    pub(super) network: OwnNetwork,
    /// An ejected upstream waits for a target to be probed with.
    pub(super) target_wanted: bool,
    pub(super) next_id: u32,
}

impl State {
    /// Of a pool that begins with the first `next_id` upstreams.
    pub(super) fn new(balancer: Balancer, next_id: u32, check_memory: Duration) -> Self {
        State {
            balancer,
            requests: Attribution::new(DEFAULT_MEMORY),
            checks: Attribution::new(check_memory),
            empty_tunnels: Attribution::new(DEFAULT_MEMORY),
            network: OwnNetwork::default(),
            target_wanted: false,
            next_id,
        }
    }

    pub(super) fn attribution(&mut self, memory: FailureMemory) -> &mut Attribution {
        match memory {
            FailureMemory::Requests => &mut self.requests,
            FailureMemory::Checks => &mut self.checks,
            FailureMemory::EmptyTunnels => &mut self.empty_tunnels,
        }
    }

    /// Begins the memory of checks anew.
    pub(super) fn set_check_memory(&mut self, memory: Duration) {
        self.checks = Attribution::new(memory);
    }

    /// Forgets the failures that nobody will be charged with any more.
    pub(super) fn forget_old(&mut self, now: Timestamp) {
        for attribution in [&mut self.requests, &mut self.checks, &mut self.empty_tunnels] {
            attribution.forget_old(now);
        }
    }

    /// No failure waits for another upstream to open its target, no probe waits for a target, our own network is well: a
    /// target that was opened through a sound upstream changes nothing.
    fn is_quiet(&self) -> bool {
        let nothing_waits = [&self.requests, &self.checks, &self.empty_tunnels].iter().all(|one| one.is_empty());
        nothing_waits && !self.target_wanted && self.network.is_well()
    }
}

/// The lock of the state, and what can be seen without it.
pub(super) struct StateLock {
    state: Lock<State>,
    quiet: AtomicBool,
}

/// The state, while everybody else waits for it.
pub(super) struct HeldState<'l> {
    state: Held<'l, State>,
    quiet: &'l AtomicBool,
}

impl StateLock {
    pub(super) fn new(state: State) -> Self {
        StateLock { quiet: AtomicBool::new(state.is_quiet()), state: Lock::new(state) }
    }

    pub(super) fn lock(&self) -> HeldState<'_> {
        HeldState { state: self.state.lock(), quiet: &self.quiet }
    }

    /// Whether what goes well need not be told. Whoever asks while another thread tells of a failure came before it.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Acquire)
    }
}

impl Drop for HeldState<'_> {
    fn drop(&mut self) {
        self.quiet.store(self.state.is_quiet(), Ordering::Release);
    }
}

impl Deref for HeldState<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for HeldState<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}
