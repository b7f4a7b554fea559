//! Plays the rows of the matrix.

use std::collections::BTreeMap;
use std::time::Duration;

use proxy::core::attribution::{Author, Blame, Rule};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::binary::{Binary, settled, stats};
use super::scene::{Faulty, SHORT, SHORTEST, THRESHOLD, config, plain};
use super::support::{Double, Ear, Heard, TestProxy, run};
use super::table::{Asks, Blamed, Failover, Row, Sees, TABLE};

/// Rows played at a time.
const AT_ONCE: usize = 12;
/// Ends a row that hangs.
const WATCHDOG: Duration = Duration::from_secs(40);

/// Plays each row in each of its ways by `play` and names all that failed.
async fn all<F: Future<Output = ()> + Send + 'static>(play: impl Fn(&'static Row, Asks) -> F) {
    let mut playing = JoinSet::new();
    let mut failed = Vec::new();
    let mut names = BTreeMap::new();
    let mut rows = TABLE.iter().flat_map(|row| row.asks.iter().map(move |asks| (row, *asks)));
    loop {
        while playing.len() < AT_ONCE
            && let Some((row, asks)) = rows.next()
        {
            let played = timeout(WATCHDOG, play(row, asks));
            let id = playing.spawn(async { played.await.expect("the watchdog: it hangs") }).id();
            names.insert(id, format!("{} ({asks:?})", row.fault));
        }
        match playing.join_next_with_id().await {
            None => break,
            Some(Ok(_)) => {}
            Some(Err(error)) => failed.extend(names.remove(&error.id())),
        }
    }
    assert!(failed.is_empty(), "rows that don't hold, their panics are above: {failed:#?}");
}

#[test]
fn with_a_good_upstream_behind_it_every_fault_is_what_its_row_says() {
    run(all(behind_a_good_one));
}

async fn behind_a_good_one(row: &Row, asks: Asks) {
    let faulty = Faulty::start(row).await;
    let (good, journal) = Double::mock("good").await;
    let proxy = TestProxy::start(config(row, asks, &[faulty.entry(), plain(good.addr)], SHORT)).await;
    let mut watching = proxy.client().await;

    let rounds = if row.ejects { THRESHOLD } else { THRESHOLD + 1 };
    let mut requests = 0;
    for _ in 0..rounds {
        asks.ask(proxy.addr, row.sees).await;
        for _ in 0..asks.requests() {
            requests += 1;
            let summary = proxy.ear.finished(requests).await;
            let failed: Vec<_> = summary.failed_attempts.iter().map(|one| one.failure).collect();
            let expected: Vec<_> = row.failover.iter().map(|failover| failover.failure).collect();
            assert_eq!(failed, expected);
            assert_eq!(summary.attempts as usize, 1 + expected.len());
            let spoiled = match row.blamed {
                Blamed::Client => Some(Blame::Client),
                Blamed::Unknown => Some(Blame::Unknown),
                Blamed::Nobody | Blamed::Upstream(_) | Blamed::OutOfReach | Blamed::Suspect | Blamed::Empty => None,
            };
            assert_eq!(summary.blame, spoiled, "{summary:?}");
        }
    }
    assert!(faulty.struck() > 0, "the fault did not strike");
    let expected = match row.blamed {
        Blamed::Upstream(rule) => Some((0, Blame::Upstream, rule)),
        Blamed::OutOfReach => Some((0, Blame::Upstream, Rule::Unreachable)),
        Blamed::Suspect => Some((0, Blame::Upstream, Rule::OpenedElsewhere)),
        Blamed::Empty => Some((0, Blame::Unknown, Rule::StoodAlone)),
        Blamed::Nobody | Blamed::Client | Blamed::Unknown => None,
    };
    let blames = blamed(&proxy.ear);
    match expected {
        // Probes add their own.
        Some(expected) => {
            assert!(blames.len() >= requests && blames.iter().all(|blame| *blame == expected), "{blames:?}");
        }
        None => assert!(blames.iter().all(|(_, blame, _)| *blame == Blame::Unknown), "{blames:?}"),
    }
    // What a target could have caused ejects by a probe alone, however often it happened.
    let doubtful = row.ejects && row.author != Some(Author::Upstream);
    if row.ejects {
        proxy.ear.wait(|heard| matches!(heard, Heard::Ejected { .. }).then_some(())).await;
    }
    let heard = proxy.ear.heard();
    assert_eq!(heard.iter().any(|one| matches!(one, Heard::Suspected { .. })), doubtful);
    assert_eq!(is_ejected(&proxy.ear), row.ejects, "after {rounds} rounds");

    // Nothing is left of it, and the proxy lives.
    faulty.mend();
    asks.ask(proxy.addr, Sees::Success).await;
    while row.ejects && !has_recovered(&proxy.ear) {
        asks.ask(proxy.addr, Sees::Success).await;
    }
    settled(&mut watching, proxy.addr).await;
    at_rest(&stats(&mut watching, proxy.addr).await);
    journal.until(|counts| counts.open_connections == 0).await;
    drop(watching);
    proxy.proxy.drain().await;
}

#[test]
fn without_another_upstream_every_fault_that_can_be_told_is_told() {
    run(all(alone));
}

async fn alone(row: &Row, asks: Asks) {
    let Some(Failover { alone, alike, .. }) = row.failover else { return };
    let faulty = Faulty::start(row).await;
    let proxy = TestProxy::start(config(row, asks, &[faulty.entry()], SHORTEST)).await;
    for number in 1..=THRESHOLD {
        assert_eq!(asks.ask_in_vain(proxy.addr).await, alone, "alone");
        let (blame, rule) = match row.blamed {
            Blamed::Upstream(rule) => (Blame::Upstream, rule),
            Blamed::OutOfReach => (Blame::Upstream, Rule::Unreachable),
            _ => (Blame::Unknown, Rule::StoodAlone),
        };
        let summary = proxy.ear.finished(number).await;
        assert_eq!(blamed(&proxy.ear).last(), Some(&(0, blame, rule)), "alone");
        assert_eq!((summary.status, summary.attempts), (alone, 1));
    }
    assert_eq!(is_ejected(&proxy.ear), row.author == Some(Author::Upstream), "alone");
    proxy.proxy.drain().await;

    let other = Faulty::start(row).await;
    let proxy = TestProxy::start(config(row, asks, &[faulty.entry(), other.entry()], SHORTEST)).await;
    for number in 1..=THRESHOLD {
        assert_eq!(asks.ask_in_vain(proxy.addr).await, alike, "both alike");
        assert_eq!(proxy.ear.finished(number).await.attempts, 2);
    }
    let blames: Vec<_> = blamed(&proxy.ear).into_iter().map(|(_, blame, rule)| (blame, rule)).collect();
    let expected = match row.blamed {
        Blamed::Upstream(rule) => (Blame::Upstream, rule),
        // The second one's word is that it is our own network.
        Blamed::OutOfReach => (Blame::Netdrift, Rule::OwnNetwork),
        _ => (Blame::Target, Rule::FailedAlike),
    };
    let first = usize::from(row.blamed == Blamed::OutOfReach);
    assert!(blames.len() >= 2 * THRESHOLD && blames[first..].iter().all(|blame| *blame == expected), "{blames:?}");
    assert_eq!(is_ejected(&proxy.ear), matches!(row.blamed, Blamed::Upstream(_)), "both alike");
    proxy.proxy.drain().await;
}

/// Nobody is blamed at once for what somebody else could have written.
#[test]
fn at_once_is_blamed_who_alone_could_have_written_it() {
    for row in TABLE {
        let at_once = matches!(row.blamed, Blamed::Upstream(_) | Blamed::OutOfReach);
        assert_eq!(at_once, row.author == Some(Author::Upstream), "{}", row.fault);
        let page = row.asks != [Asks::Tunnel];
        assert!(
            !page
                || !at_once
                || row.failover.is_some_and(|failover| {
                    failover.failure.starts_with("connect_") || failover.failure == "tls_failed"
                }),
            "{}",
            row.fault
        );
    }
}

#[test]
fn the_binary_stands_every_fault_and_keeps_no_descriptor_of_it() {
    run(all(binary));
}

async fn binary(row: &Row, asks: Asks) {
    let faulty = Faulty::start(row).await;
    let (good, _) = Double::mock("good").await;
    let mut proxy = Binary::start(&config(row, asks, &[faulty.entry(), plain(good.addr)], SHORT)).await;
    let mut watching = proxy.client().await;
    settled(&mut watching, proxy.addr).await;
    let before = proxy.descriptors();
    for _ in 0..THRESHOLD {
        asks.ask(proxy.addr, row.sees).await;
        settled(&mut watching, proxy.addr).await;
    }
    faulty.mend();
    asks.ask(proxy.addr, Sees::Success).await;
    settled(&mut watching, proxy.addr).await;
    // Kept connections are let go when their time is over; nothing tells of it.
    while proxy.descriptors() > before {
        tokio::task::yield_now().await;
    }
    at_rest(&stats(&mut watching, proxy.addr).await);
    drop(watching);
    proxy.stop().await;
}

/// The other rows of whole upstreams find it dead; here it dies.
#[test]
fn a_death_ends_open_tunnels_and_the_upstream_takes_part_again_when_it_is_back() {
    run(async {
        let row = TABLE.iter().find(|row| row.fault == "die").unwrap();
        let faulty = Faulty::sound();
        let (good, _) = Double::mock("good").await;
        let proxy = TestProxy::start(config(row, Asks::Tunnel, &[faulty.entry(), plain(good.addr)], SHORT)).await;
        let mut open = proxy.tunnel("echo.mock:80").await;
        open.send("hello").await;
        assert_eq!(open.exactly(5).await, b"hello");
        faulty.spoil(row);
        assert_eq!(open.rest().await.unwrap_or_default(), b"");
        drop(open);
        assert_eq!(proxy.ear.finished(1).await.blame, None, "whose end it was is between the ends");
        while !is_ejected(&proxy.ear) {
            Asks::Tunnel.ask(proxy.addr, Sees::Success).await;
        }
        faulty.mend();
        while !has_recovered(&proxy.ear) {
            Asks::Tunnel.ask(proxy.addr, Sees::Success).await;
        }
    });
}

fn blamed(ear: &Ear) -> Vec<(u32, Blame, Rule)> {
    let heard = ear.heard().into_iter();
    heard
        .filter_map(|heard| match heard {
            Heard::Blamed { upstream, blame, rule } => Some((upstream, blame, rule)),
            _ => None,
        })
        .collect()
}

fn is_ejected(ear: &Ear) -> bool {
    ear.heard().iter().any(|heard| matches!(heard, Heard::Ejected { .. }))
}

fn has_recovered(ear: &Ear) -> bool {
    ear.heard().iter().any(|heard| matches!(heard, Heard::Recovered { .. }))
}

/// Nobody is served but the client that asks.
fn at_rest(stats: &Value) {
    assert_eq!(stats["open_connections"], 1, "{stats:#}");
    assert_eq!(stats["current_requests"], 0, "{stats:#}");
}
