//! Plays every fault of the catalogue against the proxy, on real sockets. `table.rs` says what must come of it.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test is its own world: it spawns tasks, reads no clock, and fails where it can't go on"
)]

mod ask;
#[path = "../it/process/binary.rs"]
#[expect(dead_code, reason = "shared with the other integration tests")]
mod binary;
mod document;
mod play;
mod scene;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the other integration tests")]
mod support;
mod table;

use std::collections::BTreeSet;

use faulty_upstream::fault::{Requests, Strikes};
use faulty_upstream::{CATALOGUE, Fault};

use table::{Asks, TABLE};

/// The ways in which a fault can be met.
fn meets(fault: &Fault) -> &'static [Asks] {
    match fault.strikes() {
        Strikes::Listener | Strikes::Connections | Strikes::Handshakes | Strikes::Requests(Requests::Any) => {
            &[Asks::Tunnel, Asks::Get]
        }
        Strikes::Requests(Requests::Connect) | Strikes::Tunnels => &[Asks::Tunnel],
        Strikes::Requests(Requests::Plain | Requests::PlainReused) => &[Asks::Get],
    }
}

#[test]
fn every_fault_has_a_row_for_each_way_to_meet_it_and_every_row_a_fault() {
    let kind = |asks: Asks| if asks == Asks::Tunnel { "by CONNECT" } else { "by plain HTTP" };
    let wanted: BTreeSet<_> =
        (CATALOGUE.iter()).flat_map(|fault| meets(fault).iter().map(|asks| (fault.name, kind(*asks)))).collect();
    let rows: Vec<_> = TABLE.iter().flat_map(|row| row.asks.iter().map(|asks| (row.fault, kind(*asks)))).collect();
    let given: BTreeSet<_> = rows.iter().copied().collect();
    let missing: Vec<_> = wanted.difference(&given).collect();
    assert!(missing.is_empty(), "faults without a row in proxy/tests/matrix/table.rs: {missing:?}");
    let idle: Vec<_> = given.difference(&wanted).collect();
    assert!(idle.is_empty(), "rows without a fault in the catalogue: {idle:?}");
    assert_eq!(rows.len(), given.len(), "a fault has two rows for one way to meet it");
}
