//! All laws, in the order in which reports name them.

use super::law::Law;
use super::{process, requests, upstreams};

/// All laws.
pub const LAWS: &[Law] = &[
    process::no_panic::LAW,
    requests::conservation::LAW,
    requests::bytes::LAW,
    upstreams::ejected::LAW,
    upstreams::shares::LAW,
    requests::served::LAW,
    requests::failover::LAW,
    upstreams::restore::LAW,
    upstreams::blame::LAW,
    upstreams::in_a_row::LAW,
    process::statistics::LAW,
    requests::reload::LAW,
    process::drain::LAW,
    requests::credentials::LAW,
    process::leftovers::LAW,
    process::liveness::LAW,
];
