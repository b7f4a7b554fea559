//! Every fault does what the catalogue says, and the upstream can be controlled while it runs.

#![expect(clippy::unwrap_used, reason = "in a test a failed step is a failed test")]

mod admin;
mod before;
mod example;
mod listener;
mod process;
mod replies;
mod support;
mod timing;
mod tunnels;

/// A fault without a test of what it does on the wire can't be added.
#[test]
fn every_fault_is_proved() {
    let families = [before::PROVED, listener::PROVED, timing::PROVED, tunnels::PROVED];
    let mut proved: Vec<&str> = families.concat();
    proved.extend(replies::proved());
    proved.sort_unstable();
    proved.dedup();
    let mut known = support::every_fault();
    known.sort_unstable();
    assert_eq!(proved, known);
}
