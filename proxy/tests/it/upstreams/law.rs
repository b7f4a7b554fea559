//! Tests the law of blame over whole sequences of requests: no targets, by anything that they write, send, refuse or leave out through
//! sound upstreams, take one out of rotation for longer than one successful probe.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use proxy::Proxy;
use proxy::core::attribution::{Blame, Rule};
use proxy::core::time::Timestamp;
use proxy::event::{Event, Observer};
use proxy::testing::{MemoryEnv, MemoryStream};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::http::plain::reply;
use crate::support::{Client, Memory, parse, run_paused};
use crate::tunnels::timing::{addr, secs, with_timeouts};

/// Upstreams at most.
const MOST: usize = 4;

/// What a target does when it is asked for. To a CONNECT an upstream answers for itself, so that it is never malformed and
/// never a 407.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Serves,
    /// It says nothing, for longer than anybody waits.
    Silent,
    /// It ends the connection before any byte.
    Ends,
    /// It resets it.
    Resets,
    Refuses(u16),
    /// It opens and ends without a byte, or in the middle of a page.
    OpensAndEnds,
    OpensAndResets,
    /// What it sends can't be read.
    Odd(&'static str),
}

const ODD: &[&str] = &[
    "HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "SSH-2.0-OpenSSH_9.9\r\n",
    "HTTP/1.1 101 Why not\r\n\r\n",
    "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
];

/// What the targets do, by name: in turn, whoever asks, or for each upstream in another order.
#[derive(Default)]
struct World {
    targets: BTreeMap<String, (Vec<Vec<Manner>>, usize)>,
}

impl World {
    /// What the target that `head` asks for does now to what comes through `upstream`.
    fn manner(&mut self, head: &str, upstream: usize) -> Manner {
        let word = head.split(' ').nth(1).unwrap_or_default();
        let name = word.strip_prefix("http://").unwrap_or(word).split([':', '/']).next().unwrap_or_default();
        let Some((manners, asked)) = self.targets.get_mut(name) else { return Manner::Serves };
        *asked += 1;
        let those = &manners[upstream % manners.len()];
        those[*asked % those.len()]
    }
}

/// What a sound upstream passes on of a target. The connection comes back where another request may follow on it.
async fn pass(manner: Manner, head: &str, mut peer: Client<MemoryStream>) -> Option<Client<MemoryStream>> {
    let connect = head.starts_with("CONNECT ");
    let opening = if connect { "HTTP/1.1 200 OK\r\n\r\n" } else { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf" };
    match manner {
        Manner::Serves if connect => peer.send(format!("{opening}hi")).await,
        Manner::Serves => {
            peer.send(reply(200, if head.starts_with("HEAD ") { "" } else { "hi" })).await;
            return Some(peer);
        }
        Manner::Silent => {}
        Manner::Refuses(status) => {
            peer.send(reply(status, "")).await;
            return Some(peer);
        }
        Manner::Ends => return None,
        Manner::Resets => {
            peer.abort();
            return None;
        }
        Manner::OpensAndEnds => {
            peer.send(opening).await;
            return None;
        }
        Manner::OpensAndResets => {
            peer.send(opening).await;
            peer.abort();
            return None;
        }
        Manner::Odd(bytes) => {
            // Behind a tunnel that it opened, they are only bytes.
            peer.send(if connect { opening } else { "" }).await;
            peer.send(bytes).await;
            return None;
        }
    }
    let _ = peer.rest().await;
    None
}

/// Where an upstream stands by the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    #[default]
    In,
    /// Set aside; whether a probe has been sent since.
    Suspected(bool),
    Out,
    /// A probe of it succeeded, so that the next that is heard of it must be its recovery.
    Proven,
}

/// Holds the law against every event as it happens.
#[derive(Default)]
struct Court {
    standing: Mutex<BTreeMap<u32, Standing>>,
    broken: Mutex<Vec<String>>,
    verdict: Notify,
}

impl Court {
    fn broken(&self, what: String) {
        self.broken.lock().unwrap().push(what);
        self.verdict.notify_one();
    }

    fn is_anybody_out(&self) -> bool {
        self.standing.lock().unwrap().values().any(|standing| *standing != Standing::In)
    }
}

impl Observer for Court {
    fn on(&self, at: Timestamp, event: &Event<'_>) {
        let mut standing = self.standing.lock().unwrap();
        let (id, next): (_, fn(Standing) -> Option<Standing>) = match event {
            Event::Suspected { upstream, .. } => (upstream, |from| match from {
                Standing::In => Some(Standing::Suspected(false)),
                _ => None,
            }),
            Event::PickMade { upstream, probe: true, .. } => (upstream, |from| match from {
                // One that decided nothing is followed by another.
                Standing::Suspected(_) => Some(Standing::Suspected(true)),
                Standing::Out => Some(Standing::Out),
                _ => None,
            }),
            Event::AttemptEnded { upstream, request: None, failure: None, .. } => (upstream, |from| match from {
                Standing::Suspected(true) | Standing::Out => Some(Standing::Proven),
                _ => None,
            }),
            // Only a probe that failed puts it out.
            Event::Ejected { upstream, .. } => (upstream, |from| match from {
                Standing::Suspected(true) => Some(Standing::Out),
                _ => None,
            }),
            Event::BackedOff { upstream, .. } => (upstream, |from| match from {
                Standing::Suspected(true) | Standing::Out => Some(Standing::Out),
                _ => None,
            }),
            Event::Recovered { upstream, .. } => (upstream, |_| Some(Standing::In)),
            Event::Blamed { upstream, blame: Blame::Upstream, rule } => (
                upstream,
                if matches!(rule, Rule::OpenedElsewhere | Rule::DeliveredElsewhere) { Some } else { |_| None },
            ),
            _ => return,
        };
        let from = standing.entry(id.number()).or_default();
        match next(*from) {
            Some(next) => *from = next,
            None => self.broken(format!("{at:?}: {event:?} of one that is {from:?}")),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// One request for target number so-and-so, by CONNECT or plain HTTP.
    Ask(usize, &'static str),
    /// One for a target that is sound.
    AskSound(&'static str),
    Wait(u64),
    /// Other weights.
    Reload(Vec<u32>),
}

const METHODS: [&str; 4] = ["CONNECT", "GET", "HEAD", "POST"];

fn manner() -> impl Strategy<Value = Manner> {
    prop_oneof![
        4 => Just(Manner::Serves),
        1 => prop::sample::select(vec![
            Manner::Silent,
            Manner::Ends,
            Manner::Resets,
            Manner::OpensAndEnds,
            Manner::OpensAndResets,
        ]),
        2 => prop::sample::select(vec![400, 403, 404, 429, 500, 502, 503, 504]).prop_map(Manner::Refuses),
        1 => prop::sample::select(ODD).prop_map(Manner::Odd),
    ]
}

fn targets() -> impl Strategy<Value = Vec<Vec<Vec<Manner>>>> {
    let manners = prop::collection::vec(manner(), 1..5);
    prop::collection::vec(prop::collection::vec(manners, 1..4), 1..5)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0usize..5, prop::sample::select(&METHODS[..])).prop_map(|(target, method)| Step::Ask(target, method)),
        2 => prop::sample::select(&METHODS[..]).prop_map(Step::AskSound),
        2 => (0u64..15).prop_map(Step::Wait),
        1 => prop::collection::vec(1u32..4, MOST).prop_map(Step::Reload),
    ];
    prop::collection::vec(step, 1..60)
}

fn settings(weights: &[u32], threshold: u32) -> Value {
    let mut config = with_timeouts(&[], json!({ "connect": "2s", "reply": "3s", "request": "20s", "body": "3s" }));
    let upstream = |(n, weight): (usize, &u32)| json!({ "url": format!("http://{}", addr(n as u8)), "weight": weight });
    config["upstream_proxies"] = weights.iter().enumerate().map(upstream).collect();
    config["health_check"] =
        json!({ "failure_threshold": threshold, "backoff_base": "5s", "backoff_max": "20s", "timeout_seconds": 3 });
    config
}

/// One request, to its end or to where nothing more can be expected. The status that came, if any.
async fn ask(net: &Memory, method: &str, host: &str) -> Option<u16> {
    let mut client = net.client();
    let body = if method == "POST" { "Content-Length: 2\r\n\r\nok" } else { "\r\n" };
    let request = match method {
        "CONNECT" => format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n"),
        _ => format!("{method} http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{body}"),
    };
    client.send(request).await;
    let head = client.next_head().await?;
    // A tunnel is left open for a while, so that what its target does in it is seen.
    let _ = timeout(secs(2), client.rest()).await;
    head.split(' ').nth(1)?.parse().ok()
}

/// Plays `steps` up to where they break the law, and makes the targets sound in the end. Says what broke it.
async fn play(targets: Vec<Vec<Vec<Manner>>>, upstreams: usize, threshold: u32, steps: Vec<Step>) -> Vec<String> {
    let net = Memory::default();
    let count = targets.len();
    let named = targets.into_iter().enumerate().map(|(n, manners)| (format!("t{n}.test"), (manners, 0)));
    let world = Arc::new(Mutex::new(World { targets: named.collect() }));
    for number in 0..upstreams {
        serve(&net, number, &world).await;
    }
    let court = Arc::new(Court::default());
    let config = |weights: &[u32]| parse(&settings(&weights[..upstreams], threshold));
    let proxy = Proxy::start(config(&[1; MOST]), MemoryEnv::clone(&net), court.clone()).await.unwrap();
    let sound = async |method: &str| match ask(&net, method, "sound.test").await {
        Some(200) => {}
        status => court.broken(format!("a sound target was answered by {status:?}")),
    };
    let sequence = async {
        for step in steps {
            match step {
                Step::Ask(target, method) => drop(ask(&net, method, &format!("t{}.test", target % count)).await),
                Step::AskSound(method) => sound(method).await,
                Step::Wait(span) => sleep(secs(span)).await,
                Step::Reload(weights) => drop(proxy.reload(config(&weights)).unwrap()),
            }
        }
        // Whoever is out is probed within its back-off, and one success is enough.
        world.lock().unwrap().targets.clear();
        for _ in 0..30 {
            sound("CONNECT").await;
            sound("GET").await;
            sleep(secs(1)).await;
        }
        if court.is_anybody_out() {
            court.broken("an upstream is out although all targets are sound".to_owned());
        }
    };
    tokio::select! {
        biased;
        () = court.verdict.notified() => {}
        () = sequence => {}
    }
    std::mem::take(&mut court.broken.lock().unwrap())
}

/// Upstream `number`, for as long as the test lasts.
async fn serve(net: &Memory, number: usize, world: &Arc<Mutex<World>>) {
    let world = Arc::clone(world);
    net.serve(addr(number as u8), Duration::ZERO, move |mut peer| {
        let world = Arc::clone(&world);
        async move {
            while let Some(head) = peer.next_head().await {
                if head.starts_with("POST ") {
                    peer.exactly(2).await;
                }
                let manner = world.lock().unwrap().manner(&head, number);
                let Some(kept) = pass(manner, &head, peer).await else { return };
                peer = kept;
            }
        }
    })
    .await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn no_targets_take_a_sound_upstream_out_for_longer_than_a_probe(
        targets in targets(), upstreams in 2..=MOST, threshold in 1u32..4, steps in steps(),
    ) {
        let mut broken = Vec::new();
        run_paused(async { broken = play(targets, upstreams, threshold, steps).await });
        prop_assert_eq!(broken, Vec::<String>::new());
    }
}
