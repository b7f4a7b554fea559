//! Carries out one request, from its beginning to the record of it.

use std::time::Duration;

use tokio::time::Instant;

use super::connector::Net;
use super::in_flight::{Attempt, Kept};
use super::open_tunnels::Gauge;
use super::record::Done;
use crate::workload::{Request, What, Workload};

/// When a request was due, and from when all times of a run count.
#[derive(Clone, Copy)]
pub(crate) struct Due {
    pub(crate) at: Duration,
    pub(crate) epoch: Instant,
}

/// Sends `request`, on the connection `kept` where there is one, and reads what comes back. Returns the connection
/// where another request may use it.
pub(crate) async fn perform<N: Net>(
    workload: &Workload,
    net: &N,
    gauge: &Gauge,
    request: Request,
    due: Due,
    kept: Kept<N>,
) -> (Done, Kept<N>) {
    let action = workload.mix.action(request.action);
    let mut attempt = Attempt::new(workload, net, gauge, request);
    let (outcome, kept) = match &action.what {
        What::Http { exchange, keep_alive } => attempt.plain(action, exchange, *keep_alive, kept).await,
        what => (attempt.through_tunnel(action, what).await, None),
    };
    (attempt.done(outcome, due.at, due.epoch), kept)
}
