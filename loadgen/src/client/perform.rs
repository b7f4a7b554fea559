//! Carries out requests, from their beginning to the records of them.

use std::time::Duration;

use tokio::time::Instant;

use super::active_request::{ActiveRequest, KeptConnection};
use super::connector::Connector;
use super::http::pipelined;
use super::open_tunnels::OpenTunnels;
use super::record::RequestRecord;
use crate::workload::{ActionKind, Request, Workload};

/// When a request was due, and from when all times of a run count.
#[derive(Clone, Copy)]
pub(crate) struct Due {
    pub(crate) at: Duration,
    pub(crate) epoch: Instant,
}

/// Sends the requests of `batch`, which all do the same and are one, unless their action sends some at once. They go out on the
/// connection `kept` where there is one. Returns their records in order, and the connection where another request may use it.
pub(crate) async fn perform<N: Connector>(
    workload: &Workload,
    connector: &N,
    open_tunnels: &OpenTunnels,
    batch: Vec<(Request, Due)>,
    kept: KeptConnection<N>,
) -> (Vec<RequestRecord>, KeptConnection<N>) {
    let action = workload.mix.action(batch[0].0.action);
    let active = |request| ActiveRequest::new(workload, connector, open_tunnels, request);
    let (mut batch, due): (Vec<_>, Vec<_>) = batch.into_iter().map(|(request, due)| (active(request), due)).unzip();
    let first = &mut batch[0];
    // What is seldom done lies on the heap, so that thousands of held tunnels need little memory.
    let (outcomes, kept) = match &action.kind {
        ActionKind::Http { exchange, connection } | ActionKind::Page { exchange, connection } if due.len() > 1 => {
            Box::pin(pipelined(&mut batch, action, exchange, *connection, kept)).await
        }
        ActionKind::Http { exchange, connection } | ActionKind::Page { exchange, connection } => {
            let (outcome, kept) = first.plain(action, exchange, *connection, kept).await;
            (vec![outcome], kept)
        }
        ActionKind::Websocket { rounds, bytes } => {
            (vec![Box::pin(first.websocket(action, *rounds, *bytes)).await], None)
        }
        ActionKind::Abuse { by } => (vec![Box::pin(first.abuse(*by)).await], None),
        kind => (vec![first.through_tunnel(action, kind).await], None),
    };
    let records = batch.into_iter().zip(outcomes).zip(due);
    (records.map(|((active, outcome), due)| active.into_record(outcome, due.at, due.epoch)).collect(), kept)
}
