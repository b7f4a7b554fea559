//! Tests a run from the command line to its end: lists, limits, Ctrl-C, saturation, a watched process.

use super::netdrift::Netdrift;
use super::support::{Proxy, Running, loadgen, run};

#[test]
fn ctrl_c_ends_with_the_report_so_far() {
    let proxy = Proxy::start(None);
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json").display().to_string();
    let running = Running::start(
        &[
            &["--proxy", &proxy.address, "--rate", "50", "--for", "10m", "--do", "hold:for=5m", "--do", "echo"][..],
            &["--json", &json, "--expect", "errors == 0", "--expect", "ok > 0"],
        ]
        .concat(),
    );
    let line = running.progress();
    assert!(line.contains(" ok/s ") && line.contains("p99") && !line.contains('\u{1b}'), "{line}");
    let out = running.interrupt();
    assert_eq!(out.status, 0, "{out:?}");
    assert!(out.stdout.contains(", stopped early, seed ") && out.stdout.contains("PASS expect ok > 0"), "{out:?}");
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(report["interrupted"], true);
    let count = |name: &str| report[name].as_u64().unwrap();
    assert_eq!(count("began"), count("ok") + count("errors") + count("not_judged"), "none is hidden: {report:#}");
    assert!(count("not_judged") > 0, "held tunnels were cut: {report:#}");
}

#[test]
fn users_and_targets_come_from_lists() {
    let proxy = Proxy::start(Some("ann:right"));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let users = file("users", "# who may\nann:right\n\n");
    let targets = file("targets", "{id}.a.echo.mock:80\n{id}.b.echo.mock:81\n");
    let base =
        ["--proxy", &proxy.address, "--requests", "40", "--do", "echo", "--users", &users, "--expect", "errors == 0"];
    let out = run(&[&base[..], &["--targets", &targets]].concat());
    assert_eq!(out.status, 0, "{out:?}");
    let lines = proxy.journal.json_lines();
    assert!(lines.contains(".a.echo.mock:80\"") && lines.contains(".b.echo.mock:81\""), "{lines}");
    let dead = file("dead", "{id}.echo.mock:80\n{id}.nowhere.mock:80\n");
    let out = run(&[&base[..], &["--targets", &dead]].concat());
    assert_eq!(out.status, 69, "{out:?}");
    assert!(out.stderr.contains("to ID.nowhere.mock:80 failed: status 502") && out.stdout.is_empty(), "{out:?}");
    let wrong = file("wrong", "example\n");
    let out = run(&[&base[..], &["--targets", &wrong]].concat());
    assert!(out.status == 64 && out.stderr.contains("target `example`: expected host:port"), "{out:?}");
}

#[test]
fn an_untrusted_target_is_told_before_any_load() {
    let proxy = Proxy::start(None);
    let tls = ["--proxy", &proxy.address, "--requests", "3", "--do", "connect", "--do", "tls:bytes=10"];
    let out = run(&tls);
    assert_eq!(out.status, 69, "{out:?}");
    assert!(out.stderr.contains("TLS with ID.tls.mock:443 failed") && out.stderr.contains("--ca"), "{out:?}");
    let out = run(&[&tls[..], &["--insecure", "--expect", "errors == 0"]].concat());
    assert_eq!(out.status, 0, "{out:?}");
}

#[test]
fn what_cannot_be_written_or_read_is_said_before_any_load() {
    let upstream = Proxy::start(None);
    let proxy = Netdrift::before(&[(&upstream.address, 1)]);
    for (args, words) in [
        (&["--json", "/nowhere/report.json"][..], "the report /nowhere/report.json can't be written"),
        (&["--verify-ledger", "--journal", "/nowhere/journal"], "--journal /nowhere/journal: "),
        (&["--pid", "4000000000"], "no process of ours has that number"),
        (&["--upstream", &proxy.address, "--verify-ledger"], "/status"),
    ] {
        let out = run(&[&["--proxy", &proxy.address, "--no-probe"], args].concat());
        assert_eq!(out.status, 69, "{args:?} {out:?}");
        assert!(out.stderr.contains(words) && out.stdout.is_empty(), "{args:?} {out:?}");
    }
    assert_eq!(upstream.journal.counts().requests, 0);
}

#[test]
fn too_few_descriptors_for_the_load_are_counted_before_it_starts() {
    let proxy = Proxy::start(None);
    let binary = assert_cmd::cargo::cargo_bin!("loadgen").display().to_string();
    let limited = |clients: &str| {
        let script = format!(
            "ulimit -n 100; exec '{binary}' run --quiet --proxy {} --requests 30 --clients {clients}",
            proxy.address
        );
        std::process::Command::new("sh").args(["-c", &script]).output().unwrap()
    };
    let many = limited("40");
    let error = String::from_utf8(many.stderr).unwrap();
    assert_eq!(many.status.code(), Some(69), "{error}");
    assert!(error.contains("more than the 100 descriptors") && error.contains("ulimit -n"), "{error}");
    assert!(error.contains("ask for at most 36 (--clients, --max-in-flight)"), "{error}");
    assert_eq!(proxy.journal.counts().requests, 0);
    assert_eq!(limited("36").status.code(), Some(0));
}

#[test]
fn it_says_when_it_is_the_limit_itself() {
    // Where nobody listens nobody else is the limit: the kernel refuses at once, and more is asked for in a second than
    // any machine sends.
    let flood = ["--proxy", "127.0.0.1:1", "--no-probe", "--rate", "9000000", "--requests", "50000", "--threads", "1"];
    let out = run(&[&flood[..], &["--expect", "p99 < 1m"]].concat());
    assert_eq!(out.status, 1, "{out:?}");
    assert!(out.stdout.contains("50000  refused connecting") && out.stdout.contains("loadgen's own CPU: "), "{out:?}");
    assert!(out.stdout.contains("THE LOAD GENERATOR WAS SATURATED: "), "{out:?}");
    assert!(out.stdout.contains("lag of loadgen itself "), "timers have their turn all the same: {out:?}");
    assert!(out.stdout.contains("note: thresholds on latency were judged on a saturated load generator"), "{out:?}");
}

#[test]
fn a_watched_process_is_judged() {
    let proxy = Proxy::start(None);
    // The proxy is in this process.
    let pid = std::process::id().to_string();
    let run = |bound: &str| run(&["--proxy", &proxy.address, "--requests", "20", "--pid", &pid, "--expect", bound]);
    let kept = run("memory_growth < 1g");
    assert_eq!(kept.status, 0, "{kept:?}");
    assert!(kept.stdout.contains("proxy's memory ") && kept.stdout.contains("proxy's descriptors "), "{kept:?}");
    let missed = run("descriptors_left < -100000");
    assert_eq!(missed.status, 1, "{missed:?}");
    assert!(missed.stdout.contains("FAIL expect descriptors_left < -100000: descriptors_left is "), "{missed:?}");
    let unwatched =
        loadgen(&["run", "--quiet", "--proxy", &proxy.address, "--requests", "1", "--expect", "memory_growth < 1g"]);
    assert!(unwatched.status == 1 && unwatched.stdout.contains("this run has no memory_growth"), "{unwatched:?}");
}
