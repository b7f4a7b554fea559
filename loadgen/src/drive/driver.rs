//! Runs a workload, all of it in one task: requests wait for one another only as the pace says.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use super::event::Event;
use super::shard::Shard;
use super::starts::Starts;
use crate::client::{Done, Due, Gauge, Kept, Kind, Net, Phase, perform};
use crate::workload::{Request, Workload};

/// Runs `shard` of `workload` over streams of `net`, from now, and tells `observer` of every request.
///
/// It returns once the workload is over and nothing is in flight. When `stop` is done, what is in flight is dropped at once
/// and told as [`Kind::Unfinished`]. Everything happens in the calling task.
pub async fn drive<N: Net>(
    workload: &Workload,
    shard: Shard,
    net: &N,
    gauge: &Gauge,
    observer: &mut impl FnMut(Event),
    stop: impl Future<Output = ()>,
) {
    let epoch = Instant::now();
    let mut starts = Starts::new(workload, shard);
    let mut idle: Vec<Kept<N>> = Vec::new();
    let mut in_flight = FuturesUnordered::new();
    let mut running: BTreeMap<u64, (Request, Duration, Duration)> = BTreeMap::new();
    let mut stop = pin!(stop);
    // The time for which `alarm` is set.
    let mut alarm = pin!(None);
    let mut set_for = None;
    loop {
        let now = Instant::now() - epoch;
        while in_flight.len() < workload.max_in_flight
            && let Some(start) = starts.due(now)
        {
            let request = workload.request(start.index);
            let keeps = !workload.mix.action(request.action).is_tunnel();
            let kept: Kept<N> = if keeps { idle.pop().flatten() } else { None };
            observer(Event::Began { request: request.clone(), intended: start.at, started: now });
            running.insert(start.index, (request.clone(), start.at, now));
            in_flight.push(async move {
                let due = Due { at: start.at, epoch };
                let (done, kept) = perform(workload, net, gauge, request, due, kept).await;
                (done, kept, start.client)
            });
        }
        let next = if in_flight.len() < workload.max_in_flight { starts.next_at() } else { None };
        if next.is_none() && in_flight.is_empty() {
            return;
        }
        if next != set_for {
            set_for = next;
            alarm.set(next.map(|at| net.sleep_until(epoch + at)));
        }
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some((done, kept, client)) = in_flight.next(), if !in_flight.is_empty() => {
                running.remove(&done.request.index);
                starts.client_free(client, Instant::now() - epoch);
                if kept.is_some() {
                    idle.push(kept);
                }
                observer(Event::Ended(Box::new(done)));
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
        let outcome = Err(Kind::Unfinished.at(Phase::Data));
        let done = Done {
            tunnel: workload.mix.action(request.action).is_tunnel(),
            request,
            intended,
            started,
            ended: now,
            phases: Default::default(),
            outcome,
            status: None,
            up: Default::default(),
            down: Default::default(),
            exit: None,
            reused: false,
        };
        observer(Event::Ended(Box::new(done)));
    }
}

async fn wait(alarm: Pin<&mut Option<impl Future<Output = ()>>>) {
    match alarm.as_pin_mut() {
        Some(alarm) => alarm.await,
        None => std::future::pending().await,
    }
}
