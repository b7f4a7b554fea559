//! Requests that go out together on one connection, without waiting for one another's responses (RFC 9112 section 9.3.2).

use tokio::time::Instant;

use super::exchange::nothing_behind;
use crate::client::active_request::{ActiveRequest, KeptConnection, bounded, send};
use crate::client::checksum::Transferred;
use crate::client::connector::Connector;
use crate::client::outcome::{Failure, Outcome, Phase};
use crate::client::response::BufferedStream;
use crate::workload::{Action, ConnectionUse, HttpExchange};

/// Sends all of `batch` at once, then reads a response for each in order. Where the connection ends on the way, those that it
/// left without an answer are sent again, one by one. A request's time-out counts from when it is its turn to be answered.
pub(in crate::client) async fn pipelined<N: Connector>(
    batch: &mut [ActiveRequest<'_, N>],
    action: &Action,
    exchange: &HttpExchange,
    connection: ConnectionUse,
    kept: KeptConnection<N>,
) -> (Vec<Outcome>, KeptConnection<N>) {
    let reused = kept.is_some();
    for (place, active) in batch.iter_mut().enumerate() {
        active.measured.reused = reused || place > 0;
    }
    // The connection on which answers are due.
    let mut line = match send_all(batch, action, exchange, kept).await {
        Ok(wire) => Some(wire),
        // It was kept, and closed meanwhile.
        Err(_) if reused => None,
        Err(failure) => return (vec![Err(failure); batch.len()], None),
    };
    // The connection of those that are sent again.
    let mut spare = None;
    let mut outcomes = Vec::with_capacity(batch.len());
    let last = batch.len() - 1;
    for (place, active) in batch.iter_mut().enumerate() {
        active.deadline = Instant::now() + active.workload.timeout;
        let mut answered = None;
        if let Some(mut wire) = line.take() {
            let (mut outcome, again) = active.response(action, &mut wire, exchange).await;
            if outcome.is_ok() && (place == last || !again) {
                outcome = nothing_behind(&mut wire, exchange, again).await;
            }
            line = again.then_some(wire);
            answered = (!active.found_it_closed(&outcome)).then_some(outcome);
        }
        let outcome = match answered {
            Some(outcome) => outcome,
            None => {
                let again = active.plain(action, exchange, connection, spare.take()).await;
                spare = again.1;
                again.0
            }
        };
        outcomes.push(outcome);
    }
    (outcomes, line.or(spare))
}

/// Sends the heads of all requests in one piece; none of them has a body.
async fn send_all<N: Connector>(
    batch: &mut [ActiveRequest<'_, N>],
    action: &Action,
    exchange: &HttpExchange,
    kept: KeptConnection<N>,
) -> Result<BufferedStream<N::Stream>, Failure> {
    let heads: String = batch.iter().map(|active| active.request_head(action, exchange)).collect();
    let first = &mut batch[0];
    let mut wire = match kept {
        Some(wire) => wire,
        None => first.connect().await?,
    };
    let mut of_head = Transferred::default();
    let sending = send(&mut wire, heads.as_bytes(), action.throttle, &mut of_head);
    bounded(first.deadline, Phase::Reply, sending).await?;
    Ok(wire)
}
