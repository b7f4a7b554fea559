//! Tests the binary against mock upstreams on loopback, which are HTTP proxies themselves.

#![expect(clippy::unwrap_used, reason = "in a test a failed step is a failed test")]

mod failover;
mod life;
mod netdrift;
mod support;
mod verdicts;

use support::{Proxy, run};

#[test]
fn a_mix_of_everything_passes_its_verdicts() {
    let proxy = Proxy::start(None);
    let upstream = format!("{}=1", proxy.address);
    let journal = tempfile::tempdir().unwrap();
    let ca = proxy.certificate(journal.path());
    let out = run(&[
        "--proxy",
        &proxy.address,
        "--requests",
        "60",
        "--clients",
        "4",
        "--seed",
        "7",
        "--threads",
        "2",
        "--ca",
        &ca,
        "--do",
        "echo:rounds=2",
        "--do",
        "upload:bytes=70000",
        "--do",
        "download:bytes=70000",
        "--do",
        "connect",
        "--do",
        "http:bytes=100,keep-alive",
        "--do",
        "tls:bytes=100",
        "--upstream",
        &upstream,
        "--verify-weights",
        "--expect",
        "errors == 0",
        "--expect",
        "requests == 60",
        "--expect",
        "tls.max < 1m",
    ]);
    assert_eq!(out.status, 0, "{out:?}");
    assert!(out.stdout.contains("60 requests"), "{out:?}");
    assert_eq!(out.stdout.matches("PASS").count(), 4, "{out:?}");
    assert_eq!(proxy.journal.counts().completed, 66, "a probe of each action and 60 requests");
}

#[test]
fn a_missed_threshold_is_status_1_with_the_figure() {
    let proxy = Proxy::start(None);
    let out = run(&["--proxy", &proxy.address, "--requests", "5", "--clients", "1", "--expect", "requests > 5"]);
    assert_eq!(out.status, 1, "{out:?}");
    assert!(out.stdout.contains("FAIL expect requests > 5: requests is 5"), "{out:?}");
}

#[test]
fn a_failed_request_is_status_1_unless_a_bound_allows_it() {
    let proxy = Proxy::start(None);
    let mix = ["--do", "19*connect", "--do", "http:path=/status/503", "--no-probe", "--requests", "200", "--seed", "3"];
    let with = |more: &[&str]| run(&[&["--proxy", &proxy.address], &mix[..], more].concat());
    let strict = with(&[]);
    assert_eq!(strict.status, 1, "{strict:?}");
    assert!(strict.stdout.contains("FAIL errors: "), "{strict:?}");
    assert_eq!(with(&["--expect", "p99 < 1m"]).status, 1);
    let allowed = with(&["--expect", "error_rate <= 30%"]);
    assert_eq!(allowed.status, 0, "{allowed:?}");
}

#[test]
fn an_open_loop_sends_what_was_asked() {
    let proxy = Proxy::start(None);
    let out = run(&["--proxy", &proxy.address, "--stages", "0..100x500ms,50x200ms", "--expect", "requests == 35"]);
    assert_eq!(out.status, 0, "{out:?}");
}

#[test]
fn what_is_wrong_is_said_before_any_load() {
    let proxy = Proxy::start(Some("ann:right"));
    for (args, word) in [
        (&["--proxy", "127.0.0.1:1"][..], "is it running there?"),
        (&["--proxy", &proxy.address], "asks for credentials (407)"),
        (&["--proxy", &proxy.address, "--user", "ann:wrong-one"], "refuses user `ann`"),
        (
            &["--proxy", &proxy.address, "--user", "ann:right", "--do", "connect:target={id}.nowhere.mock:80"],
            "check the target",
        ),
        (&["--proxy", &proxy.address, "--clients", "90000000"], "descriptors"),
        (&["--proxy", &proxy.address, "--user", "ann:right", "--verify-ledger"], "statistics"),
    ] {
        let out = run(args);
        assert_eq!(out.status, 69, "{args:?} {out:?}");
        assert!(out.stderr.contains(word) && out.stdout.is_empty(), "{args:?} {out:?}");
        assert!(!out.stderr.contains("wrong-one"), "{out:?}");
    }
    let counts = proxy.journal.counts();
    assert_eq!((counts.requests, counts.completed), (4, 1), "probes only, one of them fine: {counts:?}");
}

#[test]
fn wrong_flags_are_status_64() {
    for (args, word) in [
        (&["--proxy", "x:1", "--do", "conect"][..], "no action"),
        (&["--proxy", "x:1", "--expect", "p98 < 1s"], "no metric"),
        (&["--proxy", "x:1", "--rate", "5", "--clients", "5"], "cannot be used with"),
        (&["--proxy", "x:1", "--stages", "5"], "RATExTIME"),
        (&["--proxy", "x:1", "--verify-ledger", "--do", "connect:target=a.example:80"], "{id}"),
        (&["--proxy", "x:1", "--poisson"], "open loop"),
    ] {
        let out = run(args);
        assert_eq!(out.status, 64, "{args:?} {out:?}");
        assert!(out.stderr.contains(word), "{args:?} {out:?}");
    }
}

#[test]
fn failures_are_in_every_report_and_two_runs_compare() {
    let proxy = Proxy::start(None);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let good =
        run(&["--proxy", &proxy.address, "--requests", "50", "--do", "http:path=/ip", "--json", &path("good.json")]);
    assert_eq!(good.status, 0, "{good:?}");
    let bad = run(&[
        "--proxy",
        &proxy.address,
        "--requests",
        "50",
        "--do",
        "http:path=/status/503",
        "--no-probe",
        "--expect",
        "errors == 0",
        "--json",
        &path("bad.json"),
        "--html",
        &path("bad.html"),
        "--markdown",
        &path("bad.md"),
        "--junit",
        &path("bad.xml"),
    ]);
    assert_eq!(bad.status, 1, "{bad:?}");
    for name in ["bad.json", "bad.html", "bad.md"] {
        let text = std::fs::read_to_string(path(name)).unwrap();
        assert!(text.contains("status 503 waiting for the reply"), "{name}: {text}");
        assert!(!text.contains("src=") && !text.contains("href="), "{name} needs nothing else");
    }
    let xml = std::fs::read_to_string(path("bad.xml")).unwrap();
    assert!(xml.contains("failures=\"2\"") && xml.contains("errors is 50") && xml.contains("not one of 50"), "{xml}");
    let compared = support::loadgen(&["compare", &path("good.json"), &path("bad.json")]);
    assert_eq!(compared.status, 2, "{compared:?}");
    assert!(compared.stdout.contains("not comparable"), "one window is too few: {compared:?}");
}

#[test]
fn exits_are_compared_with_their_weights() {
    let proxy = Proxy::start(None);
    let args = |weight: &'static str| {
        let mut args = vec!["--requests", "30", "--do", "http:path=/ip", "--exit-from", "body", "--verify-weights"];
        args.extend(["--weight", weight, "--weight", "other=1"]);
        args
    };
    let proxied = |weight| run(&[&["--proxy", &proxy.address][..], &args(weight)].concat());
    // All answers come through `one`: right only for weights that nobody would believe.
    let wrong = proxied("one=1");
    assert!(wrong.status == 1 && wrong.stdout.contains("not consistent"), "{wrong:?}");
    let strange = proxied("two=1");
    assert!(strange.status == 1 && strange.stdout.contains("30 answers came through exits"), "{strange:?}");
}
