//! Tests of the counters and of the page.

use super::*;
use crate::core::attribution::{Blame, Rule};
use crate::event::{AttemptSummary, Pick, Summary, UpstreamLabel};

fn id(number: u32) -> UpstreamId {
    UpstreamId::new(number)
}

fn gauges(names: &[&str]) -> Gauges {
    let upstream = |(number, name): (u32, &&str)| UpstreamGauges {
        id: id(number),
        name: Arc::from(*name),
        healthy: true,
        weight: 3,
        failures: 0,
        schedule_lag: -0.75,
        connections: 2,
        idle: 1,
        bytes_up: 10,
        bytes_down: 20,
    };
    Gauges {
        config_epoch: 1,
        ready: true,
        connections: 4,
        connection_limit: 100,
        current_requests: 5,
        log_lines_dropped: 0,
        schedule_lag_bound: 2,
        started: 1.5,
        process: None,
        upstreams: (0..).zip(names).map(upstream).collect(),
    }
}

fn finished(outcome: &'static str, blame: Option<Blame>, attempts: u32) -> Summary {
    Summary { attempts, latency: Duration::from_millis(20), ..Summary::example(outcome, blame) }
}

fn failed(phases: Phases) -> FailedAttemptSummary {
    let upstream = UpstreamLabel { id: id(0), name: "a".into(), url: "http://a".into(), tag: None };
    FailedAttemptSummary {
        attempt: AttemptSummary { upstream: Arc::new(upstream), pick: Pick::default(), phases },
        failure: "connect_refused",
        cause: Some("what a library says is no label".into()),
        blame: Some((Blame::Upstream, Rule::Unreachable)),
    }
}

fn told(metrics: &Metrics, events: &[Event<'_>]) {
    for event in events {
        metrics.on(Timestamp::ZERO, event);
    }
}

fn text(metrics: &Arc<Metrics>, names: &[&str], format: Format) -> String {
    page(metrics, gauges(names), format)
}

#[test]
fn the_page_says_what_was_heard() {
    let metrics = Arc::new(Metrics::default());
    let mut phases = Phases::default();
    phases.set(Phase::Tcp, Duration::from_millis(1));
    let attempt = |request, upstream, failure| Event::AttemptEnded {
        request,
        upstream: id(upstream),
        failure,
        cause: Some("what a library says is no label"),
        phases,
        took: Duration::from_millis(3),
    };
    told(
        &metrics,
        &[
            attempt(Some(1), 0, Some("connect_refused")),
            Event::Blamed { upstream: id(0), blame: Blame::Upstream, rule: Rule::Unreachable },
            Event::PickMade { request: Some(1), attempt: 1, epoch: 0, ticket: None, upstream: id(1), probe: false },
            attempt(Some(1), 1, None),
            attempt(None, 1, None),
            Event::PickMade { request: None, attempt: 0, epoch: 0, ticket: None, upstream: id(0), probe: true },
            Event::Recovered { upstream: id(0), name: "a", url: "http://a", after: Duration::ZERO },
            Event::Finished(&finished("ok", None, 2)),
            Event::Finished(&Summary { failed_attempts: vec![failed(phases)], ..finished("ok", None, 2) }),
            Event::Finished(&finished("cut_short", Some(Blame::Target), 1)),
            Event::Finished(&finished("bad_credentials", Some(Blame::Client), 0)),
            Event::AcceptFailed { reason: "descriptors", error: "what the system says is no label" },
        ],
    );
    let text = text(&metrics, &["a", "b"], Format::Prometheus);
    for line in [
        "netdrift_upstream_attempts_total{upstream=\"a\",by=\"request\",result=\"connect_refused\"} 1",
        "netdrift_upstream_attempts_total{upstream=\"b\",by=\"request\",result=\"ok\"} 1",
        "netdrift_upstream_attempts_total{upstream=\"b\",by=\"check\",result=\"ok\"} 1",
        "netdrift_upstream_blamed_attempts_total{upstream=\"a\",blame=\"upstream\",rule=\"unreachable\"} 1",
        "netdrift_upstream_attempt_seconds_count{upstream=\"a\"} 1",
        "netdrift_upstream_attempt_seconds_bucket{le=\"0.0025\",upstream=\"b\"} 0",
        "netdrift_upstream_attempt_seconds_bucket{le=\"0.005\",upstream=\"b\"} 1",
        "netdrift_upstream_probes_total{upstream=\"a\"} 1",
        "netdrift_upstream_recoveries_total{upstream=\"a\"} 1",
        "netdrift_failovers_total 1",
        "netdrift_failed_accepts_total{reason=\"descriptors\"} 1",
        "netdrift_failed_accepts_total{reason=\"other\"} 0",
        "netdrift_requests_total{outcome=\"ok\",blame=\"\"} 2",
        "netdrift_attempt_phase_seconds_count{phase=\"tcp\"} 2",
        "netdrift_attempt_phase_seconds_count{phase=\"tls\"} 0",
        "netdrift_upstream_failed_attempts_total{upstream=\"a\",stage=\"tcp\",failure=\"connect_refused\",blame=\"upstream\"} 1",
        "netdrift_requests_total{outcome=\"cut_short\",blame=\"target\"} 1",
        "netdrift_requests_total{outcome=\"bad_credentials\",blame=\"client\"} 1",
        // What was refused before it went anywhere took no time worth knowing.
        "netdrift_request_seconds_count 3",
        "netdrift_upstream_bytes_total{upstream=\"b\",direction=\"down\"} 20",
        "netdrift_upstream_schedule_lag{upstream=\"a\"} -0.75",
        "netdrift_schedule_lag_bound 2.0",
        "netdrift_ready 1.0",
        "process_start_time_seconds 1.5",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    assert!(!text.contains("says is no label"), "{text}");
}

#[test]
fn each_format_calls_a_counter_as_it_should() {
    let metrics = Arc::new(Metrics::default());
    let classic = text(&metrics, &[], Format::Prometheus);
    assert!(classic.contains("# HELP netdrift_failovers_total Attempts behind"), "{classic}");
    assert!(classic.contains("# TYPE netdrift_failovers_total counter\nnetdrift_failovers_total 0\n"), "{classic}");
    assert!(!classic.contains("# EOF"), "{classic}");
    let open = text(&metrics, &[], Format::OpenMetrics);
    assert!(open.contains("# TYPE netdrift_failovers counter\nnetdrift_failovers_total 0\n"), "{open}");
    assert!(open.ends_with("# EOF\n"), "{open}");
    let accepted = |accept: &str| Format::accepted(accept.as_bytes());
    assert_eq!(accepted("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3"), Format::OpenMetrics);
    assert_eq!([accepted("text/plain"), accepted(""), accepted("*/*")], [Format::Prometheus; 3]);
}

#[test]
fn what_stands_in_the_catalogue_is_on_the_page_and_nothing_else() {
    let text = text(&Arc::new(Metrics::default()), &["a"], Format::Prometheus);
    let of_process =
        |metric: &&Metric| !metric.name.starts_with("process_") || metric.name.ends_with("start_time_seconds");
    let expected: Vec<String> = (ALL.iter().filter(of_process))
        .map(|metric| format!("# TYPE {} {}", metric.full_name(), metric.kind.as_str()))
        .collect();
    let found: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    assert_eq!(found, expected);
}

#[test]
fn an_upstream_that_has_left_is_forgotten() {
    let metrics = Metrics::default();
    for number in 0..1000 {
        told(&metrics, &[Event::Suspected { upstream: id(number), name: "", url: "", failures: 1, cause: None }]);
        metrics.retain(|one| one == id(number));
    }
    assert_eq!(metrics.upstreams.load().len(), 1);
}

#[test]
fn a_name_with_odd_letters_stays_one_label() {
    let text = text(&Arc::new(Metrics::default()), &["a\"} 1\n# EOF\\"], Format::Prometheus);
    let line = "netdrift_upstream_healthy{upstream=\"a\\\"} 1\\n# EOF\\\\\"} 1.0";
    assert!(text.lines().any(|one| one == line), "{text}");
}

/// Neither a client nor a target can make the page grow.
#[test]
fn a_hundred_thousand_targets_and_ten_thousand_users_leave_the_page_as_it_is() {
    let metrics = Arc::new(Metrics::default());
    let mut summary = finished("connect_refused", Some(Blame::Target), 1);
    let lines = |metrics: &Arc<Metrics>| text(metrics, &["a"], Format::Prometheus).lines().count();
    told(&metrics, &[Event::Finished(&summary)]);
    let before = lines(&metrics);
    for number in 0..100_000 {
        summary.target = format!("t{number}.test:80").into();
        summary.user = Some(format!("u{}", number % 10_000).into());
        summary.method = format!("M{number}").into();
        told(&metrics, &[Event::Finished(&summary)]);
    }
    assert_eq!(lines(&metrics), before);
}
