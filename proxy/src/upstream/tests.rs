//! What a pool decides without a proxy around it, in memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::config;
use crate::core::attribution::{Evidence, Failure, Service};
use crate::core::failover::Allowance;
use crate::core::health::{AttemptResult, Charge};
use crate::core::upstream::{Attempt, UpstreamId};
use crate::env::{Env, Listener};
use crate::event::{Exclusion, NoObserver};
use crate::http::authority::Authority;
use crate::http::head::HeadLimits;
use crate::http::via::Via;
use crate::testing::{MemoryEnv, Nowhere};
use crate::upstream::clock::PhaseClock;
use crate::upstream::dial::{DialSettings, ask_for_page};
use crate::upstream::pool::{FailureMemory, Pool};

fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number as u8], 3128))
}

/// Upstreams of these weights at [`address`], numbered from 0. Three failures eject; nobody probes or checks.
pub(super) fn pool(weights: &[u32]) -> (Arc<Pool<MemoryEnv>>, MemoryEnv) {
    let upstream = |(number, weight)| json!({ "url": format!("http://{}", address(number)), "weight": weight });
    let config = json!({
        "server": { "listen_address": "127.0.0.1:3130", "pid_file": "" },
        "upstream_proxies": weights.iter().enumerate().map(upstream).collect::<Vec<_>>(),
        "health_check": { "backoff_base": "5s", "backoff_max": "5s", "max_ejection_percent": 100, "enabled": true, "endpoints": ["endpoint.test:443"] },
    });
    let config = config::parse("test.json", config.to_string().as_bytes(), &Nowhere).unwrap();
    let env = MemoryEnv::default();
    (Pool::new(env.clone(), &config, Via::new("test".to_owned(), false), Arc::new(NoObserver)).unwrap(), env)
}

/// Failures that only the upstream can have caused, one more than eject it.
fn eject(pool: &Pool<MemoryEnv>, number: u32) {
    for _ in 0..3 {
        let attempt = Attempt { upstream: UpstreamId::new(number), started: pool.now(), probe: false };
        pool.report(attempt, AttemptResult::Failure(Charge::Unreachable));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_may_go_to_the_eligible_and_to_all_with_a_weight_where_none_is() {
    let (pool, _) = pool(&[1, 0, 2, 0, 0]);
    assert_eq!(pool.failover_policy().1, 2);
    eject(&pool, 0);
    assert_eq!((pool.failover_policy().1, pool.is_eligible(UpstreamId::new(0))), (1, false));
    eject(&pool, 2);
    assert_eq!(pool.failover_policy().1, 2);
}

#[tokio::test(start_paused = true)]
async fn a_probe_asks_first_for_what_nobody_was_charged_with() {
    let (pool, _) = pool(&[1, 1, 1]);
    let open = |number: usize, target: &str, evidence| {
        let upstream = Arc::clone(&pool.snapshot().upstreams[number]);
        let (mut lease, mut clock) = (pool.lease_for_check(&upstream), PhaseClock::default());
        pool.opened(FailureMemory::Requests, target, (&mut lease, &mut clock), evidence, pool.now());
    };
    open(1, "sound.test:443", Evidence::new(Service::Tunnel));
    let mut evidence = Evidence::new(Service::Tunnel);
    let attempt = Attempt { upstream: UpstreamId::new(2), started: pool.now(), probe: false };
    assert!(pool.failed(&mut evidence, attempt, Failure::Status(502)).is_none());
    // The latest, but it may have been the target's fault.
    tokio::time::advance(Duration::from_secs(1)).await;
    open(1, "doubtful.test:443", evidence);
    eject(&pool, 0);
    tokio::time::advance(Duration::from_secs(6)).await;
    let probe = pool.take_probe().unwrap();
    assert_eq!(probe.lease.upstream.id, UpstreamId::new(0));
    let targets: Vec<_> = probe.targets.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(targets, ["sound.test:443", "doubtful.test:443"]);
}

#[tokio::test(start_paused = true)]
async fn a_suspicion_is_told_from_an_ejection() {
    let (pool, _) = pool(&[1, 1, 1, 1]);
    eject(&pool, 0);
    // A gateway's status can't tell: it takes another upstream to open the same target.
    for target in ["a.test:443", "b.test:443", "c.test:443", "d.test:443"] {
        let mut evidence = Evidence::new(Service::Tunnel);
        let attempt = Attempt { upstream: UpstreamId::new(1), started: pool.now(), probe: false };
        pool.failed(&mut evidence, attempt, Failure::Status(502));
        let upstream = Arc::clone(&pool.snapshot().upstreams[2]);
        let (mut lease, mut clock) = (pool.lease_for_check(&upstream), PhaseClock::default());
        pool.opened(FailureMemory::Requests, target, (&mut lease, &mut clock), evidence, pool.now());
    }
    let (_lease, pick) = pool.pick_first(1, pool.now()).unwrap();
    let excluded = pick.standing.excluded.iter().map(|one| (one.upstream.id.number(), one.why)).collect::<Vec<_>>();
    assert_eq!(excluded, [(0, Exclusion::Ejected), (1, Exclusion::Suspected)]);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_switches_protocols_unasked_has_brought_no_page() {
    let (pool, env) = pool(&[1]);
    let mut listener = env.bind(address(0)).await.unwrap();
    env.spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        let _ = peer.read(&mut [0; 1024]).await;
        peer.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await.unwrap();
    });
    let upstream = Arc::clone(&pool.snapshot().upstreams[0]);
    let settings =
        DialSettings { limits: HeadLimits { max_bytes: 1024, max_fields: 10 }, dns: Duration::ZERO, via: None };
    let allowance = Allowance::whole(Duration::from_secs(1), Duration::from_secs(1), pool.now());
    let target = Authority::parse("a.test:80", None).unwrap();
    let mut clock = PhaseClock::default();
    let failed = ask_for_page(&pool, &env, (&upstream, &mut clock), &target, &allowance, settings).await;
    assert_eq!(failed.unwrap_err().cause.as_deref(), Some("status 101 that was not asked for"));
}
