//! Tests that every fault does what the catalogue says, and that the upstream can be controlled while it runs.

#![expect(clippy::unwrap_used, reason = "in a test a failed step is a failed test")]

use std::collections::BTreeSet;

mod admin;
mod before;
mod example;
mod handshakes;
mod listener;
mod process;
mod replies;
mod support;
mod timing;
mod tunnels;

/// A fault needs a test of what it does on the wire.
#[test]
fn every_fault_is_proved() {
    let families = [before::PROVED, handshakes::PROVED, listener::PROVED, timing::PROVED, tunnels::PROVED];
    let proved: BTreeSet<&str> = families.concat().into_iter().chain(replies::proved()).collect();
    let known: BTreeSet<&str> = support::every_fault().into_iter().collect();
    let unproved: Vec<_> = known.difference(&proved).collect();
    assert!(unproved.is_empty(), "faults without a test in faulty-upstream/tests/it: {unproved:?}");
    let unknown: Vec<_> = proved.difference(&known).collect();
    assert!(unknown.is_empty(), "tests of faults that the catalogue does not have: {unknown:?}");
}
