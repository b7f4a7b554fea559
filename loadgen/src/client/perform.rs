//! Carries out one request, from its beginning to the record of it.

use std::time::Duration;

use tokio::time::Instant;

use super::active_request::{ActiveRequest, KeptConnection};
use super::connector::Connector;
use super::open_tunnels::OpenTunnels;
use super::record::RequestRecord;
use crate::workload::{ActionKind, Request, Workload};

/// When a request was due, and from when all times of a run count.
#[derive(Clone, Copy)]
pub(crate) struct Due {
    pub(crate) at: Duration,
    pub(crate) epoch: Instant,
}

/// Sends `request`, on the connection `kept` where there is one, and reads what comes back. Returns the connection
/// where another request may use it.
pub(crate) async fn perform<N: Connector>(
    workload: &Workload,
    connector: &N,
    open_tunnels: &OpenTunnels,
    request: Request,
    due: Due,
    kept: KeptConnection<N>,
) -> (RequestRecord, KeptConnection<N>) {
    let action = workload.mix.action(request.action);
    let mut active = ActiveRequest::new(workload, connector, open_tunnels, request);
    let (outcome, kept) = match &action.kind {
        ActionKind::Http { exchange, keep_alive } => active.plain(action, exchange, *keep_alive, kept).await,
        kind => (active.through_tunnel(action, kind).await, None),
    };
    (active.into_record(outcome, due.at, due.epoch), kept)
}
