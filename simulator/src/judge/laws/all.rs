//! All laws, in the order in which reports name them.

use super::law::Law;
use super::{process, requests, upstreams};
use crate::subject::Feature;

/// The laws that have to know all clients of a proxy. They can't judge one that another proxy asks.
pub(in crate::judge) const NEED_ALL_CLIENTS: [&str; 5] =
    ["once", "retry-budget", "turns", "conservation", "statistics"];

/// The laws that have to know what became of each request at its upstream. They can't judge a proxy that asks another one.
pub(in crate::judge) const NEED_ALL_UPSTREAMS: [&str; 1] = ["once"];

/// The black-box laws that rest on a feature: they can't judge a subject that lacks it.
pub(in crate::judge) const NEED_FEATURES: [(&str, Feature); 6] = [
    ("outsiders", Feature::ClientAuthentication),
    ("left-alone", Feature::BackOff),
    ("converged", Feature::ExactShares),
    ("health", Feature::HealthPages),
    ("abuse", Feature::HeaderTimeout),
    ("limit", Feature::ConnectionLimit),
];

/// All laws: black-box first, then what the proxy tells, then what it tells of itself alone.
pub const LAWS: &[Law] = &[
    process::no_panic::LAW,
    requests::answered::LAW,
    requests::verdict::LAW,
    requests::bytes::LAW,
    requests::idle::LAW,
    requests::reply::LAW,
    requests::once::LAW,
    requests::failovers::attempts::LAW,
    requests::failovers::retry_budget::LAW,
    requests::configured::LAW,
    requests::admission::outsiders::LAW,
    requests::admission::users::LAW,
    requests::admission::identity::LAW,
    requests::certificates::LAW,
    upstreams::left_alone::LAW,
    upstreams::converged::LAW,
    upstreams::turns::LAW,
    process::leftovers::LAW,
    process::liveness::LAW,
    process::health::LAW,
    process::abuse::LAW,
    process::limit::LAW,
    process::by_hand::LAW,
    process::drain::STOPS,
    requests::conservation::LAW,
    upstreams::blame::LAW,
    upstreams::returned::LAW,
    process::statistics::LAW,
    requests::reload::LAW,
    process::drain::LAW,
    requests::admission::credentials::LAW,
    upstreams::ejected::LAW,
    upstreams::shares::LAW,
    upstreams::members::LAW,
    upstreams::back_off::LAW,
    requests::failovers::failover::LAW,
    upstreams::restore::LAW,
    upstreams::in_a_row::LAW,
    upstreams::ejects::LAW,
];
