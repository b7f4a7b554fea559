//! The live engine with the proxy's own binary. Times here are real, so scenarios are short and nothing is asserted on time but
//! what the scenarios allow.

#![expect(clippy::unwrap_used, reason = "a test that can't build or read what it needs fails")]

mod log;
mod programs;

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::rc::Rc;
use std::sync::OnceLock;

use faulty_upstream::Listener;
use simulator::judge::{Verdict, run_on, run_subject};
use simulator::record::{Clock, ProxyEvent, Recorder, What};
use simulator::scenario::{self, ConfigFile, HostName};
use simulator::subject;
use simulator::world::live::{Live, use_proxy};
use simulator::world::{Engine, EngineKind, Host, Patience, RunsProxy};
use tokio::io::AsyncReadExt;

/// The proxy's binary, built as these tests are: it belongs to another package, so cargo does not say where it is.
fn proxy() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let simulator = Path::new(env!("CARGO_BIN_EXE_simulator"));
        let release = simulator.parent().unwrap().ends_with("release");
        let built = Command::new(env!("CARGO"))
            // Together with this package, so that what both use is built once.
            .args(["build", "--quiet", "--package", "proxy", "--package", "simulator", "--bins"])
            .args(release.then_some("--release"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success());
        let path = simulator.with_file_name("proxy");
        use_proxy(path.clone());
        path
    })
}

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

fn simulator(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simulator")).args(args).current_dir(scenarios()).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn scenarios_hold_with_the_real_proxy_on_real_sockets() {
    proxy();
    for name in
        ["exact-weights", "proxy-restart", "reload-broken", "steered", "ejected-by-hand", "tunnels-closed-by-hand"]
    {
        let scenario = scenario::load_scaled(&scenarios().join(name).with_extension("json"), 0.25).unwrap();
        let report = run_on(EngineKind::Live, &scenario, scenario.seed);
        assert_eq!(report.verdict, Verdict::Passed, "{name}: {:#?}", report.violations);
        let told = |wanted: fn(&ProxyEvent) -> bool| {
            report.trace.lines.iter().filter(|line| matches!(&line.what, What::Proxy(event) if wanted(event))).count()
        };
        let finished = told(|event| matches!(event, ProxyEvent::Finished(_)));
        assert!(finished * 10 > report.requests * 9, "{name}: the log tells of {finished} of {}", report.requests);
        assert_eq!(told(|event| matches!(event, ProxyEvent::Drained { .. })), 1, "{name}: heard to its end");
        let at = report.trace.lines.iter().map(|line| line.at_us).collect::<Vec<_>>();
        assert!(at.is_sorted(), "{name}");
    }
}

#[test]
fn what_does_not_hold_is_found_as_in_a_simulation() {
    proxy();
    let scenario = r#"{ "name": "x", "story": "x", "duration": "500ms",
        "upstreams": [{ "name": "a", "plan": { "faults": [{ "fault": "status-502" }] } }],
        "clients": [{ "name": "c", "do": "echo", "requests": 5, "rate": 20 }],
        "expect": [{ "what": "requests", "outcome": "ok", "exactly": 5 },
                   { "what": "seen", "event": "attempt_ended", "at_least": 5, "with": "\"upstream\":\"a\"" }] }"#;
    let report = run_on(EngineKind::Live, &scenario::parse(scenario).unwrap(), 1);
    assert_eq!(report.verdict, Verdict::Violated, "{:#?}", report.violations);
    assert_eq!(report.violations.len(), 1, "{:#?}", report.violations);
    assert!(report.violations[0].text.starts_with("0 such requests; "), "{:#?}", report.violations);
}

#[test]
fn what_loopback_cannot_do_is_refused_by_name() {
    let refused = simulator(&["run", "--engine", "live", "--proxy", proxy().to_str().unwrap(), "loss.json"]);
    assert_eq!(refused.status.code(), Some(69));
    assert!(text(&refused).contains("network.loss: "), "{}", text(&refused));
    let listed = simulator(&["list", "--engine", "live", "."]);
    assert_eq!(listed.status.code(), Some(0));
    for line in [
        "can    exact-weights\n",
        "can't  black-hole: timeline[0]: ",
        "can't  clock-jump: ",
        "can't  shared-upstreams: further_proxies: ",
    ] {
        assert!(text(&listed).contains(line), "{line}: {}", text(&listed));
    }
    let scaled = simulator(&["run", "--scale", "0.25", "recovery-by-check.json"]);
    assert_eq!(scaled.status.code(), Some(65));
    assert!(text(&scaled).contains("proxy.health_check.interval_seconds: "), "{}", text(&scaled));
}

#[test]
fn without_a_proxy_nothing_is_played_and_the_way_to_build_one_is_told() {
    let none = simulator(&["run", "--engine", "live", "--proxy", "nowhere/proxy", "exact-weights.json"]);
    assert_eq!(none.status.code(), Some(69));
    assert!(
        text(&none).contains("/nowhere/proxy: no proxy there") && text(&none).contains("cargo build -p proxy"),
        "{}",
        text(&none)
    );
}

#[test]
fn a_proxy_whose_port_is_taken_ends_the_run_with_its_own_words() {
    proxy();
    let scenario = scenario::parse(QUIET).unwrap();
    let hosts = ["proxy", "a", "c"].map(HostName::new);
    let mut engine = Live::new(&hosts, &scenario, 1, Patience::new("x", 1)).unwrap();
    let _taken = TcpListener::bind((engine.address(&hosts[0]), scenario::PROXY_PORT)).unwrap();
    let recorder = Recorder::new(Clock::new(|| std::time::Duration::ZERO));
    engine.start_proxy(&hosts[0], &ConfigFile::first(&scenario, scenario::PROXY), recorder, 1);
    engine.begin();
    engine.run(scenario.duration.get(), || false);
    assert!(!engine.proxy_works(&hosts[0]));
    let panics = engine.panics().join("\n");
    assert!(panics.contains("server.listen_address: can't listen on "), "{panics}");
}

fn waits_for(engine: &mut Live, what: &str, done: impl Fn() -> bool) {
    let watchdog = engine.clock().now() + std::time::Duration::from_secs(60);
    engine.run(watchdog, &done);
    assert!(done(), "{what}");
}

const QUIET: &str = r#"{ "name": "x", "story": "x", "duration": "1h", "upstreams": [{ "name": "a" }],
    "clients": [{ "name": "c", "do": "echo", "requests": 1 }] }"#;

/// The engine of [`QUIET`], with the proxy running.
fn quiet() -> (Live, [HostName; 3]) {
    proxy();
    let scenario = scenario::parse(QUIET).unwrap();
    let hosts = ["proxy", "a", "c"].map(HostName::new);
    let mut engine = Live::new(&hosts, &scenario, 1, Patience::new("x", 1)).unwrap();
    engine.start_proxy(&hosts[0], &ConfigFile::first(&scenario, scenario::PROXY), Recorder::new(engine.clock()), 1);
    engine.begin();
    assert!(engine.proxy_works(&hosts[0]), "{:?}", engine.panics());
    (engine, hosts)
}

#[test]
fn a_killed_host_resets_its_connections_and_can_listen_again() {
    let (mut engine, [_, a, c]) = quiet();
    let listening = |engine: &mut Live| {
        let seen = Rc::new(Cell::new(0));
        let told = Rc::clone(&seen);
        engine.spawn(&a, move |host| async move {
            let mut listener = host.listen(8080).await.unwrap();
            told.set(1);
            let _held = listener.accept().await.unwrap();
            told.set(2);
            std::future::pending().await
        });
        waits_for(engine, "it listens", || seen.get() > 0);
        seen
    };
    let seen = listening(&mut engine);
    let address = (engine.address(&a), 8080).into();
    let ended = Rc::new(RefCell::new(None));
    let told = Rc::clone(&ended);
    engine.spawn(&c, move |host| async move {
        let mut stream = host.connect(address).await.unwrap();
        *told.borrow_mut() = Some(stream.read(&mut [0]).await.map_err(|error| error.kind()));
    });
    waits_for(&mut engine, "it accepts", || seen.get() == 2);
    assert_eq!((engine.live_tasks(&a), engine.live_tasks(&c), *ended.borrow()), (1, 1, None));
    engine.crash(&a);
    waits_for(&mut engine, "the other side notices", || ended.borrow().is_some());
    assert_eq!(ended.take(), Some(Err(std::io::ErrorKind::ConnectionReset)));
    assert_eq!(engine.live_tasks(&a), 0);
    listening(&mut engine);
    assert_eq!(engine.panics(), [""; 0]);
}

#[test]
fn a_descriptor_that_the_proxy_keeps_is_told_of() {
    let (mut engine, [proxy, ..]) = quiet();
    assert_eq!(engine.proxy_at_rest(&proxy, std::time::Duration::ZERO), [""; 0]);
    let mut held = TcpStream::connect((engine.address(&proxy), scenario::PROXY_PORT)).unwrap();
    // Once it is answered it has been accepted.
    held.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(Read::read(&mut held, &mut [0]).unwrap() > 0);
    let left = engine.proxy_at_rest(&proxy, std::time::Duration::ZERO);
    assert!(matches!(&left[..], [one] if one.starts_with("the proxy holds 1 descriptors more")), "{left:?}");
    drop(held);
    assert_eq!(engine.proxy_at_rest(&proxy, std::time::Duration::ZERO), [""; 0]);
    engine.drain_proxy(&proxy);
    let watchdog = engine.clock().now() + std::time::Duration::from_secs(60);
    while engine.proxy_works(&proxy) && engine.clock().now() < watchdog {
        engine.settle();
    }
    assert_eq!(engine.proxy_remains(&proxy, std::time::Duration::ZERO), [""; 0]);
}

#[test]
fn engines_agree_on_a_scenario_that_both_can_play() {
    let folder = tempfile::tempdir().unwrap();
    let markdown = folder.path().join("parity.md");
    let args = ["parity", "--scale", "0.25", "--proxy", proxy().to_str().unwrap(), "--markdown"];
    let args = [args.as_slice(), &[markdown.to_str().unwrap(), "exact-weights.json", "loss.json"]].concat();
    let compared = simulator(&args);
    assert_eq!(compared.status.code(), Some(0), "{}", text(&compared));
    let table = std::fs::read_to_string(markdown).unwrap();
    assert!(
        table.contains("| exact-weights | passed: 60 ok, 0 failed; first picks alpha 30, beta 20, gamma 10; "),
        "{table}"
    );
    assert!(table.contains("can't: network.loss: loopback loses no packet"), "{table}");
}

/// A subject of which nothing is known: netdrift's binary, with a configuration made of a template and a log that nobody reads. It is started
/// by a shell, as programs are that have several processes.
fn unheard(folder: &Path) -> std::sync::Arc<subject::Subject> {
    let start = format!(
        "{} --config \"$0\" & trap 'kill $!' TERM; trap 'kill -HUP $!' HUP; while ! wait; do :; done",
        proxy().display()
    );
    started_by(&start, folder)
}

/// The same, started by another script.
fn started_by(start: &str, folder: &Path) -> std::sync::Arc<subject::Subject> {
    let file = serde_json::json!({
        "title": "Unheard", "about": "x", "install": "x", "template": "proxy.json", "start": ["sh", "-c", start, "{{ config }}"],
        "version": [proxy(), "--version"], "reload": { "signal": "HUP", "takes": "500ms" }, "comes_back_within": "5s",
        "lacks": { "exact-shares": "this test asks for none", "back-off": "nor for this", "health-pages": "nor for these" }
    });
    let template = r#"{ "server": { "listen_address": "{{ listen.address }}:{{ listen.port }}", "allow_unauthenticated_clients": true,
        "pid_file": "" }, "upstream_proxies": [{% for upstream in upstreams %}{{ "," if not loop.first }}
        { "url": "http://{{ upstream.address }}:{{ upstream.port }}" }{% endfor %}] }"#;
    std::fs::write(folder.join("subject.json"), file.to_string()).unwrap();
    std::fs::write(folder.join("proxy.json"), template).unwrap();
    subject::named(folder.to_str().unwrap()).unwrap()
}

#[test]
fn a_proxy_that_tells_nothing_is_judged_by_what_clients_and_upstreams_saw() {
    let folder = tempfile::tempdir().unwrap();
    let subject = unheard(folder.path());
    let scenario = r#"{ "name": "x", "story": "x", "duration": "5s", "upstreams": [{ "name": "a" }, { "name": "b" }],
        "clients": [{ "name": "c", "do": "echo", "requests": 40, "rate": 10 }],
        "timeline": [{ "at": "500ms", "do": "reload", "proxy": { "upstream_proxies": [{ "url": "http://a:8080" }] } }],
        "expect": [{ "what": "requests", "outcome": "ok", "exactly": 40 }, { "what": "seen", "event": "reloaded" },
                   { "what": "reached", "upstream": "b", "at_least": 1 },
                   { "what": "reached", "upstream": "b", "at_most": 0, "from": "3s" }] }"#;
    let scenario = scenario::parse(scenario).unwrap();
    let report = run_subject(EngineKind::Live, &subject, &scenario, 1);
    assert_eq!(report.verdict, Verdict::Passed, "{:#?}", report.violations);
    assert!(!report.trace.lines.iter().any(|line| matches!(line.what, What::Proxy(_))), "it tells nothing");
    let why = |of: &str| report.skipped.iter().find(|one| one.of == of).map(|one| one.why.as_str());
    assert_eq!(why("statistics"), Some("Unheard tells nothing of itself"));
    assert_eq!(why("left-alone"), Some("Unheard lacks back-off: nor for this"));
    assert_eq!(why("expect[1]"), Some("Unheard tells nothing of itself"), "else it would not hold");
    assert!(why("answered").is_none() && report.laws.iter().any(|law| law.law == "answered" && law.cases >= 20));
    let broken = scenario::parse(
        &QUIET
            .replace("\"1h\"", "\"500ms\"")
            .replace(r#"[{ "name": "a" }]"#, r#"[{ "name": "a", "plan": { "faults": [{ "fault": "garbage" }] } }]"#),
    );
    let broken = scenario::Scenario {
        expect: vec![serde_json::from_str(r#"{ "what": "requests", "outcome": "ok", "exactly": 1 }"#).unwrap()],
        ..broken.unwrap()
    };
    let report = run_subject(EngineKind::Live, &subject, &broken, 1);
    assert_eq!(report.verdict, Verdict::Violated, "{:#?}", report.violations);
}

#[test]
fn all_processes_of_a_killed_proxy_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = scenario::parse(QUIET).unwrap();
    let hosts = ["proxy", "a", "c"].map(HostName::new);
    let mut engine = Live::new(&hosts, &scenario, 1, Patience::new("x", 1)).unwrap();
    engine.set_subject(unheard(folder.path()));
    engine.start_proxy(&hosts[0], &ConfigFile::first(&scenario, scenario::PROXY), Recorder::new(engine.clock()), 1);
    engine.begin();
    let address = (engine.address(&hosts[0]), scenario::PROXY_PORT);
    assert!(TcpStream::connect(address).is_ok(), "it is ready when it listens: {:?}", engine.panics());
    engine.crash(&hosts[0]);
    let watchdog = engine.clock().now() + std::time::Duration::from_secs(60);
    while TcpStream::connect(address).is_ok() && engine.clock().now() < watchdog {
        engine.settle();
    }
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_process_that_outlives_its_proxy_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let start = format!("sleep 600 & exec {} --config \"$0\"", proxy().display());
    let report = run_subject(
        EngineKind::Live,
        &started_by(&start, folder.path()),
        &scenario::parse(&QUIET.replace("\"1h\"", "\"500ms\"")).unwrap(),
        1,
    );
    let found: Vec<&str> = report.violations.iter().map(|one| one.text.as_str()).collect();
    assert_eq!(found, ["the proxy has ended, and 1 processes that it has started have not"]);
}

#[test]
fn a_subject_that_is_wrong_or_not_installed_is_told_of() {
    let run = |name: &str| simulator(&["run", "--engine", "live", "--subject", name, "exact-weights.json"]);
    let wrong = run("no-such-proxy");
    assert_eq!(wrong.status.code(), Some(65));
    assert!(text(&wrong).contains("no-such-proxy: no such subject"), "{}", text(&wrong));
    let folder = tempfile::tempdir().unwrap();
    let file = r#"{ "title": "X", "about": "x", "install": "get x", "template": "x.conf", "start": ["no-such-x"], "version": ["no-such-x"],
        "comes_back_within": "1s", "lacks": { "reload": "x" } }"#;
    std::fs::write(folder.path().join("subject.json"), file).unwrap();
    std::fs::write(folder.path().join("x.conf"), "").unwrap();
    let missing = run(folder.path().to_str().unwrap());
    assert_eq!(missing.status.code(), Some(69));
    assert_eq!(text(&missing), "no-such-x: not installed; get x\n");
    let simulated = simulator(&["run", "--subject", "haproxy", "exact-weights.json"]);
    assert_eq!(simulated.status.code(), Some(69));
    assert!(text(&simulated).contains("subject: HAProxy is a program"), "{}", text(&simulated));
}

#[test]
fn a_cell_of_the_matrix_that_got_worse_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (now, page, stuck) = (path("now.json"), path("page.md"), path("stuck.json"));
    let play = |more: &[&str]| {
        let args = [
            "matrix",
            "--faults",
            "cut",
            "--features",
            "weights",
            "--subjects",
            "netdrift",
            "--proxy",
            proxy().to_str().unwrap(),
        ];
        simulator(&[args.as_slice(), more].concat())
    };
    let played = play(&["--json", &now, "--page", &page]);
    assert_eq!(played.status.code(), Some(0), "{}", text(&played));
    assert!(text(&played).contains("netdrift     cut                      excused "), "{}", text(&played));
    assert!(text(&played).contains("netdrift     weights                  whole\n"), "{}", text(&played));
    let table = std::fs::read_to_string(&page).unwrap();
    assert!(table.contains("| `cut` | excused "), "{table}");
    assert!(table.contains("| weights | claimed; whole (a 120, b 40) |"), "{table}");
    // As if requests did not succeed again now.
    let mut worse: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&now).unwrap()).unwrap();
    worse["cells"][0]["verdict"] = "stuck".into();
    worse["cells"][1]["verdict"] = "unsupported".into();
    std::fs::write(&stuck, worse.to_string()).unwrap();
    let held = |is: &str, was: &str| simulator(&["matrix", "--from", is, "--against", was]);
    let worse = held(&stuck, &now);
    assert_eq!(worse.status.code(), Some(1), "{}", text(&worse));
    assert!(text(&worse).starts_with("worse: cut: was Excused and is Stuck"), "{}", text(&worse));
    assert!(text(&worse).contains("worse: weights: was Whole and is NotPlayed"), "{}", text(&worse));
    assert_eq!(held(&now, &stuck).status.code(), Some(0));
    // Nothing is left to play, so this ends at once.
    assert_eq!(text(&play(&["--resume", &now])), "");
}

#[test]
fn netdrift_does_what_the_rfcs_demand_of_a_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let junit = folder.path().join("junit.xml");
    let check = |more: &[&str]| simulator(&[&["conformance", "--proxy", proxy().to_str().unwrap()], more].concat());
    let strict = check(&["--strict", "--junit", junit.to_str().unwrap()]);
    assert_eq!(strict.status.code(), Some(0), "{}", text(&strict));
    assert!(text(&strict).contains(", broken: 0 of level MUST, 0 of level SHOULD\n"), "{}", text(&strict));
    assert!(!text(&strict).contains("not checked"), "{}", text(&strict));
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains(r#"classname="9110-7.6.3""#) && !xml.contains("<failure"), "{xml}");
    let section = check(&["--section", "9110-7.6.1"]);
    assert!(text(&section).ends_with("netdrift: 4 requirements, broken: 0 of level MUST, 0 of level SHOULD\n"));
    let unknown = check(&["--section", "9110-99"]);
    assert_eq!(unknown.status.code(), Some(64));
    assert!(text(&unknown).contains("there are: 9110-5.1, "), "{}", text(&unknown));
}
