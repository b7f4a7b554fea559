//! `--verify-failover` with each fault that the tool does itself, against the proxy. The victim is a process of its own:
//! this test binary, started once more by loadgen.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use faulty_upstream::listen::SocketListener;
use faulty_upstream::{FaultyUpstream, Plan};
use mock_upstreams::journal::{DEFAULT_CAPACITY, Journal};
use mock_upstreams::upstream::{Settings, Upstream};
use tokio::net::TcpListener;

use super::netdrift::Netdrift;
use super::support::{self, Proxy, Running, WATCHDOG, run};

/// Says to a process of this binary that it is a victim, of what kind, and where it listens.
const ROLE: &str = "LOADGEN_TEST_VICTIM";

/// The test that plays it.
const PLAYED_BY: &str = "failover::the_victim";

/// Where it says that it listens, apart from what the test harness prints.
const SAYS: &str = "/dev/fd/3";

/// The victim, where the environment says that this process is one; no test of its own.
#[test]
fn the_victim() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (kind, address) = role.split_once(' ').unwrap();
    let address: SocketAddr = address.parse().unwrap();
    let mut says = std::fs::OpenOptions::new().write(true).open(SAYS).unwrap();
    let journal = Arc::new(Journal::new("victim", support::clock(), DEFAULT_CAPACITY, None));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        // loadgen ends it; should loadgen have died, it ends all the same.
        let stop = tokio::time::sleep(WATCHDOG);
        if kind == "mock" {
            let upstream = Arc::new(Upstream::new("victim", Settings::default(), journal));
            let listener = TcpListener::bind(address).await.unwrap();
            writeln!(says, "listening on {address}").unwrap();
            mock_upstreams::listen::listen(listener, upstream, stop).await;
            return;
        }
        let upstream = Arc::new(FaultyUpstream::new("victim", Settings::default(), journal, Plan::default()));
        let listener = SocketListener::bind(address).unwrap();
        let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        writeln!(says, "listening on {address}\nadmin on {}", admin.local_addr().unwrap()).unwrap();
        tokio::select! {
            biased;
            served = faulty_upstream::listen::serve(listener, upstream.clone(), stop) => served.unwrap(),
            () = async {
                loop {
                    let (stream, _) = admin.accept().await.unwrap();
                    faulty_upstream::admin::serve(stream, &upstream).await;
                }
            } => {}
        }
    });
}

/// The command that starts a victim.
fn command(kind: &str, address: &str) -> String {
    let this = std::env::current_exe().unwrap();
    format!("env {ROLE}='{kind} {address}' '{}' --exact {PLAYED_BY} --nocapture 3>&1 >/dev/null", this.display())
}

/// An address that stays free while nobody listens there: no other test and no client uses that host.
fn address(host: u8) -> String {
    std::net::TcpListener::bind(("127.0.77.".to_owned() + &host.to_string(), 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

/// A run of `fault` that ends once the victim is back. All requests must go well, and each time must be found.
fn survives(fault: &str, kind: &str, host: u8) {
    let (steady, victim) = (Proxy::start(None), address(host));
    let proxy = Netdrift::before(&[(&steady.address, 1), (&victim, 1)]);
    let command = command(kind, &victim);
    let expectations = ["detect < 1m", "avoid < 1m", "restore < 1m", "harmed == 0"].map(|text| ["--expect", text]);
    let args = [
        &["--proxy", &proxy.address, "--rate", "100", "--for", "10m", "--victim", &victim][..],
        &["--victim-command", &command, "--fault", fault, "--fault-at", "300ms", "--fault-for", "3s"],
        &["--brown-out", "5s", "--verify-failover", "--verify-weights"],
        expectations.as_flattened(),
    ];
    let run = Running::start(&args.concat());
    assert_eq!([proxy.change(), proxy.change()], ["ejected", "recovered"]);
    // The statistics say so as well by the next look, and no line of progress comes before a look.
    run.forget();
    run.progress();
    run.progress();
    let out = run.interrupt();
    // Attempts that failed slowly may leave the shares of the moments around the fault not judgeable, which is status 2.
    let judged = if out.stdout.contains("NOT JUDGEABLE weights ") { 2 } else { 0 };
    assert!(out.status == judged && !out.stdout.contains("FAIL "), "{out:?}");
    for verdict in
        ["failover detected", "failover avoided", "failover restored", "expect detect < 1m", "expect harmed == 0"]
    {
        assert!(out.stdout.contains(&format!("PASS {verdict}")), "{verdict}: {out:?}");
    }
    // On a machine too busy for the load, requests pile up until no stretch can be judged; the report says so then.
    let judgeable = !out.stdout.contains("THE LOAD GENERATOR WAS SATURATED");
    assert!(out.stdout.contains("PASS weights ") || !judgeable, "once it is back: {out:?}");
    assert!(
        out.stdout.contains("errors 0\n") && out.stdout.contains(&format!("\n{fault} of {victim} at 300")),
        "{out:?}"
    );
}

#[test]
fn a_killed_upstream() {
    survives("kill", "mock", 1);
}

#[test]
fn a_hung_upstream() {
    survives("hang", "mock", 2);
}

#[test]
fn an_upstream_that_resets() {
    survives("reset", "faulty", 3);
}

#[test]
fn a_browned_out_upstream() {
    survives("brown-out", "faulty", 4);
}

#[test]
fn what_the_proxy_does_not_do_is_missed() {
    let victim = address(5);
    // Without another upstream nothing can be avoided and everybody is harmed.
    let proxy = Netdrift::before(&[(&victim, 1)]);
    let command = command("faulty", &victim);
    let out = run(&[
        &["--proxy", &proxy.address, "--rate", "50", "--for", "1s", "--victim", &victim, "--victim-command", &command]
            [..],
        &["--fault", "reset", "--fault-at", "100ms", "--verify-failover", "--expect", "detect < 1m"],
    ]
    .concat());
    assert_eq!(out.status, 1, "{out:?}");
    // Whose fault it was, nobody else can tell: the proxy ejects nobody.
    for verdict in
        ["failover detected: ejected after: never", "failover harmed: ", "expect detect < 1m: this run has no detect"]
    {
        assert!(out.stdout.contains(&format!("FAIL {verdict}")), "{verdict}: {out:?}");
    }
}

#[test]
fn shares_are_not_averaged_over_a_fault() {
    let (steady, victim) = (Proxy::start(None), address(7));
    let proxy = Netdrift::before(&[(&steady.address, 1), (&victim, 1)]);
    let (command, weighted) = (command("mock", &victim), [&steady.address, &victim].map(|at| format!("{at}=1")));
    let fault = ["--victim-command", &command, "--fault", "kill", "--fault-at", "200ms"];
    let load = ["--proxy", &proxy.address, "--rate", "100", "--for", "2s", "--do", "http:path=/ip", "--verify-weights"];
    for (witness, words) in [
        (
            ["--upstream", &weighted[0], "--upstream", &weighted[1]],
            "NOT JUDGEABLE weights by upstreams' counts: health or",
        ),
        (["--exit-from", "body", "--weight", "one=1"], "NOT JUDGEABLE weights by exit: there was a fault"),
    ] {
        let out = run(&[&load[..], &fault, &witness].concat());
        assert!(out.status == 2 && out.stdout.contains(words), "{out:?}");
    }
}

#[test]
fn a_fault_that_cannot_be_done_is_said_before_any_load() {
    let (steady, victim) = (Proxy::start(None), address(6));
    let proxy = Netdrift::before(&[(&steady.address, 1)]);
    let proxy = ["--proxy", &proxy.address, "--fault-at", "1s"];
    let mock = command("mock", &victim);
    for (args, status, words) in [
        (&["--victim-command", "echo hello; exit 3", "--fault", "reset"][..], 69, "`admin on HOST:PORT`"),
        (&["--victim-command", "no-such-program", "--fault", "kill"], 69, "its last words: "),
        (&["--victim", "127.0.0.1:1", "--victim-command", &mock, "--fault", "kill"], 69, "no such upstream; it has"),
        (&["--fault-command", "true", "--for", "1s"], 64, "is not before the load's end at 1.00 s"),
        (
            &["--fault-command", "true", "--for", "2s", "--fault-for", "1s"],
            64,
            "is not before the load's end at 2.00 s",
        ),
    ] {
        let out = run(&[&proxy[..], args].concat());
        assert_eq!(out.status, status, "{args:?} {out:?}");
        assert!(out.stderr.contains(words) && out.stdout.is_empty(), "{args:?} {out:?}");
    }
    assert_eq!(steady.journal.counts().completed, 1, "one probe, of the run that got so far");
}
