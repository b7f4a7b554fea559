//! Tests whose fault failed attempts are, in single cases and as property tests.

use proptest::prelude::*;

use super::*;

const TTL: Duration = DEFAULT_MEMORY;

fn at(millis: u64) -> Timestamp {
    Timestamp::ZERO.after(Duration::from_millis(millis))
}

fn id(number: u32) -> UpstreamId {
    UpstreamId::new(number)
}

fn attempt(upstream: u32, started: u64) -> Attempt {
    Attempt { upstream: id(upstream), started: at(started), probe: false }
}

/// A request whose attempts through these upstreams failed so.
fn evidence(failures: &[(u32, Failure)]) -> Evidence {
    let mut evidence = Evidence::new(Service::Tunnel);
    for (started, &(upstream, failure)) in (0..).zip(failures) {
        assert_eq!(evidence.failed(attempt(upstream, started), failure), None);
    }
    evidence
}

fn blames(attributed: &[Attributed]) -> Vec<(u32, Blame, Rule)> {
    attributed.iter().map(|one| (one.attempt.upstream.number(), one.blame, one.rule)).collect()
}

const BAD_GATEWAY: Failure = Failure::Status(502);

const TARGETS_WORDS: [Failure; 6] = [
    Failure::ReplyTimeout,
    Failure::ClosedBeforeHead,
    Failure::ResetBeforeHead,
    Failure::Status(403),
    Failure::Status(503),
    Failure::EmptyTunnel,
];

#[test]
fn plain_failures_are_blamed_at_once() {
    use Failure::{ClientGone, ConnectFailed, ConnectRefused, ConnectTimeout, CutShort, NameUnresolved, OwnResources};
    let (unreachable, bad) = (Some(Charge::Unreachable), Some(Charge::BadAnswer));
    for (failure, blame, rule, charge) in [
        (ConnectRefused, Blame::Upstream, Rule::Unreachable, unreachable),
        (ConnectTimeout, Blame::Upstream, Rule::Unreachable, unreachable),
        (ConnectFailed, Blame::Upstream, Rule::Unreachable, unreachable),
        (Failure::TlsFailed, Blame::Upstream, Rule::Tls, unreachable),
        (Failure::MalformedHead, Blame::Upstream, Rule::MalformedHead, bad),
        (Failure::Status(407), Blame::Upstream, Rule::CredentialsRefused, bad),
        (ClientGone, Blame::Client, Rule::ClientWentAway, None),
        (OwnResources, Blame::Netdrift, Rule::OwnResources, None),
        (NameUnresolved, Blame::Netdrift, Rule::Resolver, None),
        (Failure::NameTimeout, Blame::Netdrift, Rule::Resolver, None),
        (CutShort, Blame::Unknown, Rule::CutShort, None),
    ] {
        let mut evidence = Evidence::new(Service::Tunnel);
        let attempt = attempt(1, 5);
        assert_eq!(evidence.failed(attempt, failure), Some(Attributed { attempt, blame, rule, charge }));
        assert!(evidence.is_empty(), "{failure:?} waits for nothing");
    }
}

/// What is told of a failure is what others search their logs and graphs for.
#[test]
fn failures_have_names_and_some_show_that_the_upstream_is_there() {
    for (failure, name, is_there) in [
        (Failure::ClientGone, "client_gone", false),
        (Failure::OwnResources, "own_resources", false),
        (Failure::NameUnresolved, "dns_error", false),
        (Failure::NameTimeout, "dns_timeout", false),
        (Failure::CutShort, "cut_short", false),
        (Failure::ConnectRefused, "connect_refused", true),
        (Failure::ConnectTimeout, "connect_timeout", false),
        (Failure::ConnectFailed, "connect_failed", false),
        (Failure::TlsFailed, "tls_failed", true),
        (Failure::MalformedHead, "malformed_head", true),
        (Failure::EmptyTunnel, "empty_tunnel", true),
        (Failure::ReplyTimeout, "reply_timeout", true),
        (Failure::ClosedBeforeHead, "closed_before_head", true),
        (Failure::ResetBeforeHead, "reset_before_head", true),
        (Failure::Status(302), "status_3xx", true),
        (Failure::Status(404), "status_4xx", true),
        (Failure::Status(407), "status_407", true),
        (Failure::Status(502), "status_5xx", true),
    ] {
        assert_eq!((failure.as_str(), failure.is_of_the_upstream()), (name, is_there));
        let out_of_reach = matches!(failure, Failure::ConnectTimeout | Failure::ConnectFailed);
        assert_eq!(failure.is_out_of_reach(), out_of_reach, "{failure:?}");
    }
}

#[test]
fn blames_and_rules_have_names() {
    use Blame::{Client, Netdrift, Target, Unknown, Upstream};
    let names = [Client, Netdrift, Upstream, Target, Unknown].map(Blame::as_str);
    assert_eq!(names, ["client", "netdrift", "upstream", "target", "unknown"]);
    for (rule, name) in [
        (Rule::ClientWentAway, "client_went_away"),
        (Rule::OwnResources, "own_resources"),
        (Rule::Resolver, "resolver"),
        (Rule::OwnNetwork, "own_network"),
        (Rule::CutShort, "cut_short"),
        (Rule::Unreachable, "unreachable"),
        (Rule::Tls, "tls"),
        (Rule::MalformedHead, "malformed_head"),
        (Rule::CredentialsRefused, "credentials_refused"),
        (Rule::OpenedElsewhere, "opened_elsewhere"),
        (Rule::DeliveredElsewhere, "delivered_elsewhere"),
        (Rule::FailedAlike, "failed_alike"),
        (Rule::StoodAlone, "stood_alone"),
    ] {
        assert_eq!(rule.as_str(), name);
    }
}

#[test]
fn failures_that_cannot_tell_wait() {
    let statuses = [301, 400, 404, 408, 429, 500, 502, 504].map(Failure::Status);
    for failure in TARGETS_WORDS.into_iter().chain(statuses) {
        assert!(!evidence(&[(1, failure)]).is_empty(), "{failure:?}");
    }
}

/// A reply to plain HTTP is the target's writing, its status 407 and what can't be read of it included.
#[test]
fn nothing_in_a_page_is_plain() {
    for failure in TARGETS_WORDS.into_iter().chain([Failure::MalformedHead, Failure::Status(407)]) {
        assert_eq!(failure.author(Service::Page), Author::UpstreamOrTarget);
        assert_eq!(Evidence::new(Service::Page).failed(attempt(1, 5), failure), None, "{failure:?}");
        assert!(!failure.charge(Service::Page).is_certain(), "{failure:?}");
    }
}

/// Only what nobody but the upstream can have caused may eject without a probe.
#[test]
fn what_is_certain_is_what_the_upstream_alone_can_write() {
    for service in [Service::Tunnel, Service::Page] {
        for failure in TARGETS_WORDS.into_iter().chain([
            Failure::ConnectRefused,
            Failure::ConnectTimeout,
            Failure::ConnectFailed,
            Failure::TlsFailed,
            Failure::MalformedHead,
            Failure::Status(407),
        ]) {
            let alone = failure.author(service) == Author::Upstream;
            assert_eq!(failure.charge(service).is_certain(), alone, "{failure:?} of {service:?}");
        }
    }
}

#[test]
fn only_the_upstreams_fault_counts_against_it() {
    let attempt = attempt(1, 5);
    for blame in [Blame::Client, Blame::Netdrift, Blame::Target, Blame::Unknown] {
        let attributed = Attributed { attempt, blame, rule: Rule::StoodAlone, charge: None };
        assert_eq!(attributed.result(), AttemptResult::Neutral, "{blame:?}");
    }
    let attributed = Attributed::opened_elsewhere(attempt, Charge::Tunnel);
    assert_eq!(attributed.result(), AttemptResult::Failure(Charge::Tunnel));
    assert_eq!(Attributed::own_network(attempt).result(), AttemptResult::Neutral);
}

#[test]
fn a_page_is_no_witness_of_tunnels_nor_a_tunnel_of_pages() {
    let mut attribution = Attribution::new(TTL);
    attribution.none_opened("a:80", evidence(&[(1, BAD_GATEWAY)]), at(1));
    let opened = |attribution: &mut Attribution, service| {
        blames(&attribution.opened("a:80", id(2), Evidence::new(service), at(2)))
    };
    assert_eq!(opened(&mut attribution, Service::Page), []);
    assert_eq!(opened(&mut attribution, Service::Tunnel), [(1, Blame::Upstream, Rule::OpenedElsewhere)]);
}

#[test]
fn a_tunnel_that_brought_nothing_is_charged_by_one_that_delivers() {
    let mut attribution = Attribution::new(TTL);
    attribution.none_opened("a:443", evidence(&[(1, Failure::EmptyTunnel)]), at(1));
    let charged = attribution.opened("a:443", id(2), Evidence::new(Service::Tunnel), at(2));
    assert_eq!(blames(&charged), [(1, Blame::Upstream, Rule::DeliveredElsewhere)]);
    assert_eq!(charged[0].result(), AttemptResult::Failure(Charge::EmptyTunnel));
}

#[test]
fn another_upstream_opening_the_target_in_the_same_request_charges_those_that_failed() {
    let mut attribution = Attribution::new(TTL);
    let evidence = evidence(&[(1, BAD_GATEWAY), (2, BAD_GATEWAY)]);
    let charged = attribution.opened("a:443", id(3), evidence, at(60_000));
    let upstream = |n| (n, Blame::Upstream, Rule::OpenedElsewhere);
    assert_eq!(blames(&charged), [upstream(1), upstream(2)]);
    assert_eq!(charged[1].attempt.started, at(1));
}

#[test]
fn upstreams_that_fail_alike_make_it_the_targets_fault_and_it_stays_so() {
    let mut attribution = Attribution::new(TTL);
    let evidence = evidence(&[(1, BAD_GATEWAY), (2, Failure::ReplyTimeout), (3, Failure::Status(403))]);
    let blamed = attribution.none_opened("a:443", evidence, at(5));
    let target = |n| (n, Blame::Target, Rule::FailedAlike);
    assert_eq!(blames(&blamed), [target(1), (2, Blame::Unknown, Rule::StoodAlone), target(3)]);
    // The target comes back: only the failure that stood alone is looked at again.
    let charged = attribution.opened("a:443", id(4), Evidence::new(Service::Tunnel), at(6));
    assert_eq!(blames(&charged), [(2, Blame::Upstream, Rule::OpenedElsewhere)]);
}

#[test]
fn a_close_is_like_a_reset_and_like_nothing_else() {
    let alike = |one, other| {
        let blamed = Attribution::new(TTL).none_opened("a:443", evidence(&[(1, one), (2, other)]), at(5));
        blamed.iter().all(|one| one.blame == Blame::Target)
    };
    assert!(alike(Failure::ClosedBeforeHead, Failure::ResetBeforeHead));
    for other in [BAD_GATEWAY, Failure::ReplyTimeout, Failure::EmptyTunnel] {
        assert!(!alike(Failure::ClosedBeforeHead, other), "{other:?}");
        assert!(alike(other, other), "{other:?}");
    }
    assert!(!alike(BAD_GATEWAY, Failure::ReplyTimeout) && !alike(BAD_GATEWAY, Failure::EmptyTunnel));
    assert!(!alike(Failure::ReplyTimeout, Failure::EmptyTunnel));
}

/// What can't be read of one page and a status of another are two stories.
#[test]
fn a_page_that_cannot_be_read_is_like_no_other_failure() {
    let alike = |one, other| {
        let mut evidence = Evidence::new(Service::Page);
        for (upstream, failure) in [(1, one), (2, other)] {
            assert_eq!(evidence.failed(attempt(upstream, 0), failure), None);
        }
        let blamed = Attribution::new(TTL).none_opened("a:80", evidence, at(5));
        blamed.iter().all(|one| one.blame == Blame::Target)
    };
    for other in [BAD_GATEWAY, Failure::ReplyTimeout, Failure::ClosedBeforeHead] {
        assert!(!alike(Failure::MalformedHead, other), "{other:?}");
    }
    assert!(alike(Failure::MalformedHead, Failure::MalformedHead));
}

#[test]
fn one_upstream_failing_twice_is_no_second_opinion() {
    let mut attribution = Attribution::new(TTL);
    let blamed = attribution.none_opened("a:443", evidence(&[(1, BAD_GATEWAY), (1, BAD_GATEWAY)]), at(5));
    assert_eq!(blames(&blamed), [(1, Blame::Unknown, Rule::StoodAlone); 2]);
}

#[test]
fn a_failure_that_stood_alone_is_charged_when_another_opens_the_target_in_time() {
    for (later, charges) in [(9_999, 1), (10_000, 0)] {
        let mut attribution = Attribution::new(TTL);
        assert!(attribution.is_empty());
        attribution.none_opened("a:443", evidence(&[(1, BAD_GATEWAY)]), at(5));
        assert!(!attribution.is_empty());
        assert_eq!(attribution.opened("b:443", id(2), Evidence::new(Service::Tunnel), at(5)), []);
        assert_eq!(attribution.opened("a:443", id(2), Evidence::new(Service::Tunnel), at(5 + later)).len(), charges);
        assert_eq!(
            attribution.opened("a:443", id(3), Evidence::new(Service::Tunnel), at(5 + later)),
            [],
            "charged once"
        );
        assert!(attribution.is_empty());
    }
}

#[test]
fn an_upstream_that_opens_what_it_failed_clears_itself_and_shows_the_target_has_changed() {
    let mut attribution = Attribution::new(TTL);
    attribution.none_opened("a:443", evidence(&[(1, BAD_GATEWAY)]), at(1));
    attribution.none_opened("a:443", evidence(&[(2, BAD_GATEWAY)]), at(2));
    assert_eq!(attribution.opened("a:443", id(1), Evidence::new(Service::Tunnel), at(3)), []);
    assert_eq!(attribution.opened("a:443", id(3), Evidence::new(Service::Tunnel), at(3)), []);
}

#[test]
fn a_probe_is_given_back_with_its_first_blame_and_not_again() {
    let mut attribution = Attribution::new(TTL);
    let mut evidence = Evidence::new(Service::Tunnel);
    evidence.failed(Attempt { probe: true, ..attempt(1, 0) }, BAD_GATEWAY);
    assert!(attribution.none_opened("a:443", evidence, at(1))[0].attempt.probe);
    assert!(!attribution.opened("a:443", id(2), Evidence::new(Service::Tunnel), at(2))[0].attempt.probe);
}

#[test]
fn the_target_that_failed_longest_ago_gives_way() {
    let mut attribution = Attribution::new(TTL);
    for n in 0..=MAX_TARGETS as u64 {
        attribution.none_opened(&format!("t{n}:80"), evidence(&[(1, BAD_GATEWAY)]), at(n));
    }
    let mut charges =
        |n: usize| attribution.opened(&format!("t{n}:80"), id(2), Evidence::new(Service::Tunnel), at(1025)).len();
    assert_eq!([charges(0), charges(1), charges(MAX_TARGETS)], [0, 1, 1]);
}

#[test]
fn of_one_target_the_oldest_failures_give_way() {
    let mut attribution = Attribution::new(TTL);
    for n in 0..=MAX_PENDING as u32 {
        attribution.none_opened("a:443", evidence(&[(n, BAD_GATEWAY)]), at(1));
    }
    let charged = attribution.opened("a:443", id(99), Evidence::new(Service::Tunnel), at(2));
    assert_eq!((charged.len(), charged[0].attempt.upstream), (MAX_PENDING, id(1)));
}

/// One request: its target, the upstreams it tries in turn (each once), the pause before it.
fn requests() -> impl Strategy<Value = Vec<(u8, Vec<u32>, u64)>> {
    let upstreams = Just((0u32..6).collect::<Vec<_>>()).prop_shuffle();
    let tried = (upstreams, 1usize..6).prop_map(|(order, attempts)| order[..attempts].to_vec());
    prop::collection::vec((0u8..3, tried, 0u64..4_000), 1..80)
}

#[test]
fn what_is_older_than_the_memory_is_forgotten() {
    let mut attribution = Attribution::new(TTL);
    let ttl = TTL.as_millis() as u64;
    attribution.none_opened("old.test:80", evidence(&[(1, BAD_GATEWAY)]), at(0));
    attribution.none_opened("both.test:80", evidence(&[(1, BAD_GATEWAY)]), at(0));
    attribution.none_opened("both.test:80", evidence(&[(2, BAD_GATEWAY)]), at(10));
    attribution.forget_old(at(ttl - 1));
    assert_eq!(attribution.targets.len(), 2, "nothing is as old as that");
    attribution.forget_old(at(ttl));
    assert!(!attribution.targets.contains_key("old.test:80"));
    assert_eq!(attribution.targets["both.test:80"].len(), 1);
    attribution.forget_old(at(ttl + 10));
    assert!(attribution.is_empty());
}

proptest! {
    #[test]
    fn a_dead_target_charges_nobody(requests in requests()) {
        let mut attribution = Attribution::new(TTL);
        let mut now = 0;
        for (target, tried, pause) in requests {
            now += pause;
            // Target 0 is dead, the others open through everybody.
            let name = format!("t{target}:443");
            if target == 0 {
                let failures: Vec<_> = tried.iter().map(|&upstream| (upstream, BAD_GATEWAY)).collect();
                let blamed = attribution.none_opened(&name, evidence(&failures), at(now));
                prop_assert!(blamed.iter().all(|one| one.blame != Blame::Upstream));
                let expected = if tried.len() > 1 { Blame::Target } else { Blame::Unknown };
                prop_assert!(blamed.iter().all(|one| one.blame == expected));
            } else {
                let charged = attribution.opened(&name, id(tried[0]), Evidence::new(Service::Tunnel), at(now));
                prop_assert_eq!(charged, []);
            }
        }
    }

    #[test]
    fn an_upstream_that_fails_what_others_open_is_charged_once_for_each_failure(requests in requests()) {
        let mut attribution = Attribution::new(TTL);
        let (mut now, mut failures, mut charges) = (0, 0, 0);
        let mut waiting: Vec<(u8, u64)> = Vec::new();
        for (target, tried, pause) in requests {
            now += pause;
            let name = format!("t{target}:443");
            // Upstream 0 answers 502 to everything, the others open everything.
            let failed: Vec<_> = tried.iter().take_while(|&&upstream| upstream == 0).collect();
            let evidence = evidence(&failed.iter().map(|&&upstream| (upstream, BAD_GATEWAY)).collect::<Vec<_>>());
            let charged = if let Some(&good) = tried.get(failed.len()) {
                failures += failed.len();
                // Those remembered of this target that are still fresh are charged now.
                failures += waiting.iter().filter(|(t, since)| *t == target && now - since < 10_000).count();
                waiting.retain(|(t, _)| *t != target);
                attribution.opened(&name, id(good), evidence, at(now))
            } else {
                waiting.push((target, now));
                attribution.none_opened(&name, evidence, at(now))
            };
            let charged: Vec<_> = charged.into_iter().filter(|one| one.blame == Blame::Upstream).collect();
            prop_assert!(charged.iter().all(|one| one.attempt.upstream == id(0)));
            charges += charged.len();
            prop_assert_eq!(charges, failures);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn the_memory_is_bounded(seed in any::<u64>()) {
        let mut attribution = Attribution::new(TTL);
        for n in 0..4_000u64 {
            let mixed = seed.wrapping_add(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            let target = format!("t{}", if n % 2 == 0 { mixed } else { mixed % 3 });
            attribution.none_opened(&target, evidence(&[(n as u32 % 7, BAD_GATEWAY)]), at(n));
        }
        prop_assert!(attribution.targets.len() <= MAX_TARGETS);
        prop_assert!(attribution.targets.values().all(|pending| pending.len() <= MAX_PENDING));
    }
}
