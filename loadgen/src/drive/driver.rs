//! Runs a workload in one task: requests wait for one another only where the pace says so.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use super::event::RequestEvent;
use super::shard::Shard;
use super::starts::{Start, Starts};
use crate::client::{Connector, Due, FailureKind, KeptConnection, OpenTunnels, Phase, RequestRecord, perform};
use crate::workload::{Request, Workload};

/// Runs `shard` of `workload` from now on over streams of `connector`, and tells `observer` of every request.
///
/// `open_tunnels` counts the tunnels that are open; give all drivers of a run the same one.
///
/// It returns once the workload is over and nothing is in flight. When `stop` is ready it drops at once what is in flight,
/// and tells of it as [`FailureKind::Unfinished`]. Everything happens in the calling task: it opens no socket, spawns no
/// task, and reads no clock but tokio's.
pub async fn drive<N: Connector>(
    workload: &Workload,
    shard: Shard,
    connector: &N,
    open_tunnels: &OpenTunnels,
    observer: &mut impl FnMut(RequestEvent),
    stop: impl Future<Output = ()>,
) {
    let epoch = Instant::now();
    let mut starts = Starts::new(workload, shard);
    let mut idle: Vec<KeptConnection<N>> = Vec::new();
    let mut in_flight = FuturesUnordered::new();
    let mut running: BTreeMap<u64, (Request, Duration, Duration)> = BTreeMap::new();
    let mut stop = pin!(stop);
    // The time for which `alarm` is set.
    let mut alarm = pin!(None);
    let mut set_for = None;
    loop {
        let now = Instant::now() - epoch;
        let mut begun = Vec::new();
        while running.len() < workload.max_in_flight
            && let Some(start) = starts.due(now)
        {
            let request = workload.request(start.index);
            observer(RequestEvent::Began { request: request.clone(), intended: start.at, started: now });
            running.insert(start.index, (request.clone(), start.at, now));
            begun.push((request, start));
        }
        for batch in batches(workload, begun) {
            let reuses = workload.mix.action(batch[0].0.action).may_reuse();
            let kept: KeptConnection<N> = if reuses { idle.pop().flatten() } else { None };
            in_flight.push(async move {
                let due = |(request, start): (Request, Start)| ((request, Due { at: start.at, epoch }), start.client);
                let (batch, clients): (_, Vec<u64>) = batch.into_iter().map(due).unzip();
                let (records, kept) = perform(workload, connector, open_tunnels, batch, kept).await;
                (records, kept, clients)
            });
        }
        let next = if running.len() < workload.max_in_flight { starts.next_at() } else { None };
        if next.is_none() && in_flight.is_empty() {
            return;
        }
        if next != set_for {
            set_for = next;
            alarm.set(next.map(|at| connector.sleep_until(epoch + at)));
        }
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some((records, kept, clients)) = in_flight.next(), if !in_flight.is_empty() => {
                if kept.is_some() {
                    idle.push(kept);
                }
                for (record, client) in records.into_iter().zip(clients) {
                    running.remove(&record.request.index);
                    starts.client_free(client, Instant::now() - epoch);
                    observer(RequestEvent::Ended(Box::new(record)));
                }
            }
            () = wait(alarm.as_mut()), if next.is_some() => {
                set_for = None;
                alarm.set(None);
            }
        }
    }
    drop(in_flight);
    let now = Instant::now() - epoch;
    for (request, intended, started) in running.into_values() {
        let outcome = Err(FailureKind::Unfinished.at(Phase::Data));
        let record = RequestRecord {
            tunnel: workload.mix.action(request.action).is_tunnel(),
            request,
            intended,
            started,
            ended: now,
            phases: Default::default(),
            outcome,
            status: None,
            proxy_status: false,
            up: Default::default(),
            down: Default::default(),
            exit: None,
            reused: false,
        };
        observer(RequestEvent::Ended(Box::new(record)));
    }
}

/// Puts together what goes out at once on one connection: requests of one action that pipelines, as many as it allows.
fn batches(workload: &Workload, begun: Vec<(Request, Start)>) -> Vec<Vec<(Request, Start)>> {
    let mut batches: Vec<Vec<(Request, Start)>> = Vec::with_capacity(begun.len());
    for (request, start) in begun {
        let most = workload.mix.action(request.action).pipeline();
        let same = |batch: &&mut Vec<(Request, Start)>| batch[0].0.action == request.action && batch.len() < most;
        match batches.iter_mut().filter(|_| most > 1).find(same) {
            Some(batch) => batch.push((request, start)),
            None => batches.push(vec![(request, start)]),
        }
    }
    batches
}

async fn wait(alarm: Pin<&mut Option<impl Future<Output = ()>>>) {
    match alarm.as_pin_mut() {
        Some(alarm) => alarm.await,
        None => std::future::pending().await,
    }
}
