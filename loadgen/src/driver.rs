//! Runs a workload, all of it in one task: requests wait for one another only as the pace says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use crate::client::{Attempt, Done, Kept, Net};
use crate::outcome::{Kind, Phase};
use crate::schedule::Arrivals;
use crate::workload::{Pace, Request, Workload};

/// A part of a workload: every `of`th of its requests, or clients, from `number` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: u64,
    of: u64,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Shard = Shard { number: 0, of: 1 };

    /// All parts, `of` in number.
    pub fn all(of: usize) -> impl Iterator<Item = Shard> {
        let of = of.max(1) as u64;
        (0..of).map(move |number| Shard { number, of })
    }

    /// How many of `whole` things are this part's.
    fn share(self, whole: u64) -> u64 {
        whole / self.of + u64::from(self.number < whole % self.of)
    }
}

/// What a driver tells while it runs.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request begins.
    Began {
        /// Which.
        request: Request,
        /// When it was due, since the run's begin.
        intended: Duration,
        /// When it began.
        started: Duration,
    },
    /// A request is over.
    Ended(Box<Done>),
}

/// Tunnels open now, and the most that ever were at once.
#[derive(Debug, Default)]
pub struct Gauge {
    now: AtomicU64,
    most: AtomicU64,
}

impl Gauge {
    /// Tunnels open now.
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The most that were open at once.
    pub fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    pub(crate) fn enter(&self) -> impl Drop + use<'_> {
        struct Open<'a>(&'a Gauge);
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.now.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        Open(self)
    }
}

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
    let mut idle: Vec<Option<crate::wire::Wire<N::Stream>>> = Vec::new();
    let mut in_flight = FuturesUnordered::new();
    let mut running: std::collections::BTreeMap<u64, (Request, Duration, Duration)> = std::collections::BTreeMap::new();
    let mut stop = std::pin::pin!(stop);
    // The time for which `alarm` is set.
    let mut alarm = std::pin::pin!(None);
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
                let mut attempt = Attempt::new(workload, net, gauge, request);
                let (outcome, kept) = attempt.run(kept).await;
                (attempt.done(outcome, start.at, epoch), kept, start.client)
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

async fn wait(alarm: std::pin::Pin<&mut Option<impl Future<Output = ()>>>) {
    match alarm.as_pin_mut() {
        Some(alarm) => alarm.await,
        None => std::future::pending().await,
    }
}

/// A request that may begin.
struct Start {
    index: u64,
    at: Duration,
    client: u64,
}

/// Which request begins when.
struct Starts {
    shard: Shard,
    /// The next request's number.
    index: u64,
    /// One behind the last request's number.
    end: u64,
    after: Option<Duration>,
    pace: Paced,
}

enum Paced {
    Open {
        arrivals: Arrivals,
        next: Option<Duration>,
    },
    /// Clients that are free, with the time from which they are, earliest first.
    Closed {
        free: std::collections::BTreeSet<(Duration, u64)>,
        think: Duration,
    },
}

impl Starts {
    fn new(workload: &Workload, shard: Shard) -> Self {
        let end = workload.stop.requests.unwrap_or(u64::MAX);
        let pace = match &workload.pace {
            Pace::Open { stages, poisson } => {
                let mut arrivals = Arrivals::new(stages, *poisson, workload.seed);
                let next = arrivals.nth(shard.number as usize);
                Paced::Open { arrivals, next }
            }
            Pace::Closed { clients, ramp_up, think } => {
                let all = (*clients).max(1) as u64;
                let client = |place| {
                    let number = shard.number + place * shard.of;
                    let nanos = ramp_up.as_nanos() * u128::from(number) / u128::from(all);
                    (Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)), number)
                };
                Paced::Closed { free: (0..shard.share(all)).map(client).collect(), think: *think }
            }
        };
        Starts { shard, index: shard.number, end, after: workload.stop.after, pace }
    }

    /// When the next request is due; `None` while none is to be expected.
    fn next_at(&self) -> Option<Duration> {
        let at = match &self.pace {
            Paced::Open { next, .. } => *next,
            Paced::Closed { free, .. } => free.first().map(|(at, _)| *at),
        };
        at.filter(|at| self.index < self.end && self.after.is_none_or(|after| *at < after))
    }

    /// Takes the next request, if it is due at `now`.
    fn due(&mut self, now: Duration) -> Option<Start> {
        let at = self.next_at().filter(|at| *at <= now)?;
        let index = self.index;
        self.index += self.shard.of;
        let client = match &mut self.pace {
            Paced::Open { arrivals, next } => {
                *next = arrivals.nth(self.shard.of as usize - 1);
                0
            }
            Paced::Closed { free, .. } => free.pop_first()?.1,
        };
        Some(Start { index, at, client })
    }

    /// `client` is done with its request.
    fn client_free(&mut self, client: u64, now: Duration) {
        if let Paced::Closed { free, think } = &mut self.pace {
            free.insert((now + *think, client));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Action;
    use crate::workload::{Stage, Stop};
    use mock_upstreams::{Journal, Upstream};
    use std::cell::RefCell;
    use std::io;
    use std::sync::Arc;
    use std::time::SystemTime;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    fn upstream() -> Arc<Upstream> {
        let journal = Journal::new("u", Arc::new(|| SystemTime::UNIX_EPOCH), 1000, None);
        Arc::new(Upstream::new("u", Default::default(), Arc::new(journal)))
    }

    /// Runs `workload` against a double on in-memory pipes.
    async fn run(workload: &Workload, upstream: &Arc<Upstream>) -> Vec<Done> {
        let net = || {
            let (client, server) = tokio::io::duplex(8192);
            let upstream = upstream.clone();
            tokio::task::spawn_local(async move {
                upstream.serve(server, |_| async { Err::<DuplexStream, _>(io::ErrorKind::NotFound.into()) }).await;
            });
            async { Ok::<_, io::Error>(client) }
        };
        let mut done = Vec::new();
        let mut observe = |event| {
            if let Event::Ended(one) = event {
                done.push(*one);
            }
        };
        let local = tokio::task::LocalSet::new();
        let gauge = Gauge::default();
        let driving = drive(workload, Shard::WHOLE, &net, &gauge, &mut observe, std::future::pending());
        local.run_until(driving).await;
        assert_eq!(gauge.now(), 0);
        done
    }

    fn closed(clients: usize, requests: u64, action: &str) -> Workload {
        let pace = Pace::Closed { clients, ramp_up: Duration::ZERO, think: Duration::ZERO };
        let stop = Stop { requests: Some(requests), after: None };
        Workload::new(1, pace, stop, action.parse::<Action>().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn every_action_works_with_a_good_upstream_which_saw_the_same_bytes() {
        for action in [
            "connect",
            "echo:rounds=3,bytes=1000",
            "echo:rounds=2,early",
            "echo:slow=16/5ms",
            "upload:bytes=100000",
            "download:bytes=100000",
            "hold:for=12s,every=5s",
            "http:bytes=70000",
            "http:path=/chunked/5000,pattern=5000,keep-alive",
            "http:method=POST,path=/echo,send=300",
        ] {
            let upstream = upstream();
            let done = run(&closed(2, 4, action), &upstream).await;
            assert_eq!(done.len(), 4, "{action}");
            for one in done {
                assert_eq!(one.outcome, Ok(()), "{action}");
                let records = upstream.journal().requests();
                let record = records.iter().find(|record| record.id.as_ref() == Some(&one.request.id)).unwrap();
                let bytes = |tally: &mock_upstreams::checksum::Tally| (tally.bytes, tally.checksum.value());
                assert_eq!(bytes(&record.up), (one.up.bytes, one.up.checksum), "{action}");
                assert_eq!(bytes(&record.down), (one.down.bytes, one.down.checksum), "{action}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn kept_connections_are_used_again() {
        let upstream = upstream();
        let done = run(&closed(1, 5, "http:bytes=10,keep-alive"), &upstream).await;
        assert_eq!(done.iter().filter(|one| one.reused).count(), 4);
        assert_eq!(upstream.journal().counts().connections, 1);
        let done = run(&closed(1, 5, "http:bytes=10"), &upstream).await;
        assert_eq!(done.iter().filter(|one| one.reused).count(), 0);
    }

    /// Serves each connection with `serve`, in the caller's task.
    async fn against<F: Future<Output = ()> + 'static>(
        workload: &Workload,
        serve: impl Fn(DuplexStream) -> F,
    ) -> Vec<Done> {
        let done = RefCell::new(Vec::new());
        let net = || {
            let (client, server) = tokio::io::duplex(1000);
            tokio::task::spawn_local(serve(server));
            async { Ok::<_, io::Error>(client) }
        };
        let mut observe = |event| {
            if let Event::Ended(one) = event {
                done.borrow_mut().push(*one);
            }
        };
        let local = tokio::task::LocalSet::new();
        let gauge = Gauge::default();
        let driving = drive(workload, Shard::WHOLE, &net, &gauge, &mut observe, std::future::pending());
        local.run_until(driving).await;
        assert_eq!(gauge.now(), 0);
        done.into_inner()
    }

    /// Waits for a head, answers with `text` and ends its side.
    async fn answer(mut stream: DuplexStream, text: &'static str) {
        let _ = stream.read(&mut [0; 900]).await;
        let _ = stream.write_all(text.as_bytes()).await;
        let _ = stream.shutdown().await;
        while stream.read(&mut [0; 900]).await.is_ok_and(|count| count > 0) {}
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_is_told_from_the_others() {
        use Kind::*;
        for (action, text, kind, phase) in [
            ("connect", "HTTP/1.1 407 No\r\n\r\n", Status(407), Phase::Reply),
            ("connect", "", Cut, Phase::Reply),
            ("connect", "nonsense", Malformed, Phase::Reply),
            ("echo", "HTTP/1.1 200 OK\r\n\r\n", Cut, Phase::Data),
            ("echo:bytes=3", "HTTP/1.1 200 OK\r\n\r\nabc", Corrupt, Phase::Data),
            ("download:bytes=3", "HTTP/1.1 200 OK\r\n\r\n\0\x01", Cut, Phase::Data),
            ("download:bytes=3", "HTTP/1.1 200 OK\r\n\r\n\0\x01\x03", Corrupt, Phase::Data),
            ("download:bytes=3", "HTTP/1.1 200 OK\r\n\r\n\0\x01\x02\x03", Corrupt, Phase::Data),
            ("http:bytes=3", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\0\x01", Cut, Phase::Data),
            ("http:bytes=3", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\0\x01", Corrupt, Phase::Data),
            ("http", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", Status(503), Phase::Reply),
            ("upload:bytes=3", "HTTP/1.1 200 OK\r\n\r\n3 0\n", Corrupt, Phase::Data),
        ] {
            let done = against(&closed(1, 1, action), |stream| answer(stream, text)).await;
            assert_eq!(done[0].outcome, Err(kind.at(phase)), "{action} {text:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_a_timeout_at_the_workloads_limit() {
        let mut workload = closed(1, 1, "connect");
        workload.timeout = Duration::from_secs(7);
        let done = against(&workload, |stream| async move {
            let _stream = stream;
            std::future::pending().await
        })
        .await;
        assert_eq!(done[0].outcome, Err(Kind::Timeout.at(Phase::Reply)));
        assert_eq!(done[0].uncorrected(), Duration::from_secs(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_had_to_wait_counts_from_when_it_was_due() {
        // 10 requests a second into a server that takes a second for each, one at a time.
        let stages = vec![Stage { from: 10_000, to: 10_000, span: Duration::from_millis(300) }];
        let mut workload = closed(1, 3, "connect");
        workload.pace = Pace::Open { stages, poisson: false };
        workload.max_in_flight = 1;
        let done = against(&workload, |stream| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            answer(stream, "HTTP/1.1 200 OK\r\n\r\n").await;
        })
        .await;
        let millis = |span: Duration| span.as_millis();
        let latencies: Vec<_> = done.iter().map(|one| (millis(one.corrected()), millis(one.uncorrected()))).collect();
        assert_eq!(latencies, [(1000, 1000), (1900, 1000), (2800, 1000)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_loop_does_not_wait_for_answers() {
        let stages = vec![Stage { from: 100_000, to: 100_000, span: Duration::from_secs(1) }];
        let mut workload = closed(1, 100, "connect");
        workload.pace = Pace::Open { stages, poisson: false };
        let done = against(&workload, |stream| async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            answer(stream, "HTTP/1.1 200 OK\r\n\r\n").await;
        })
        .await;
        assert_eq!(done.len(), 100);
        assert!(done.iter().all(|one| one.started < Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn shards_make_up_the_whole() {
        let stages = vec![Stage { from: 50_000, to: 90_000, span: Duration::from_secs(2) }];
        let mut workload = closed(1, 120, "connect");
        workload.pace = Pace::Open { stages, poisson: true };
        let due = |shard| {
            let mut starts = Starts::new(&workload, shard);
            std::iter::from_fn(move || starts.due(Duration::MAX)).map(|one| (one.index, one.at)).collect::<Vec<_>>()
        };
        let mut parts: Vec<_> = Shard::all(3).flat_map(due).collect();
        parts.sort();
        assert_eq!(parts, due(Shard::WHOLE));
        assert_eq!(Shard::all(3).map(|shard| shard.share(10)).sum::<u64>(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_tells_of_what_was_in_flight() {
        let workload = closed(3, 100, "connect");
        let mut ended = Vec::new();
        let net = || async { std::future::pending::<io::Result<DuplexStream>>().await };
        let mut observe = |event| {
            if let Event::Ended(one) = event {
                ended.push(one.outcome);
            }
        };
        let stop = tokio::time::sleep(Duration::from_secs(1));
        drive(&workload, Shard::WHOLE, &net, &Gauge::default(), &mut observe, stop).await;
        assert_eq!(ended, vec![Err(Kind::Unfinished.at(Phase::Data)); 3]);
    }
}
