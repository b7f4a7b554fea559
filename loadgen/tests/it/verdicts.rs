//! Tests shares and the ledger through the proxy: what is right passes, and each kind of wrong is found.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use mock_upstreams::journal::{Entry, Sink};

use super::netdrift::Netdrift;
use super::support::{Output, Proxy, run};

/// A proxy in front of two upstreams of weights 3 and 1, whose journals are files.
struct Pool {
    proxy: Netdrift,
    upstreams: [Proxy; 2],
    journals: [String; 2],
    folder: tempfile::TempDir,
}

fn sink(path: &Path) -> Sink {
    let file = Mutex::new(std::fs::File::create(path).unwrap());
    Box::new(move |entry: &Entry| writeln!(file.lock().unwrap(), "{}", entry.to_json()).unwrap())
}

impl Pool {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths: [PathBuf; 2] = ["one", "two"].map(|name| folder.path().join(name));
        let upstreams =
            [Proxy::named("one", None, Some(sink(&paths[0]))), Proxy::named("two", None, Some(sink(&paths[1])))];
        let proxy = Netdrift::before(&[(&upstreams[0].address, 3), (&upstreams[1].address, 1)]);
        Pool { proxy, upstreams, journals: paths.map(|path| path.display().to_string()), folder }
    }

    fn run(&self, args: &[&str]) -> Output {
        run(&[&["--proxy", &self.proxy.address], args].concat())
    }

    /// Flags that name both upstreams, with weights.
    fn witnesses(&self, weights: [u32; 2]) -> [String; 4] {
        let [one, two] = &self.upstreams;
        let of = |upstream: &Proxy, weight| format!("{}={weight}", upstream.address);
        ["--upstream".to_owned(), of(one, weights[0]), "--upstream".to_owned(), of(two, weights[1])]
    }
}

#[test]
fn exact_shares_pass_by_either_witness_and_wrong_weights_do_not() {
    let pool = Pool::start();
    let load = ["--requests", "200", "--clients", "5", "--verify-weights"];
    let by_stats = pool.run(&load);
    assert_eq!(by_stats.status, 0, "{by_stats:?}");
    assert!(by_stats.stdout.contains("PASS weights 0.0 s to "), "{by_stats:?}");
    let with = |weights| {
        let witnesses = pool.witnesses(weights);
        let witnesses: Vec<_> = witnesses.iter().map(String::as_str).collect();
        pool.run(&[&load[..], &witnesses].concat())
    };
    let right = with([3, 1]);
    assert_eq!(right.status, 0, "{right:?}");
    assert!(right.stdout.contains("200 picks are whole rounds of 4: each exactly its weight"), "{right:?}");
    let wrong = with([2, 1]);
    assert_eq!(wrong.status, 1, "{wrong:?}");
    assert!(
        wrong.stdout.contains("FAIL weights by upstreams' counts: ") && wrong.stdout.contains("150 picks"),
        "{wrong:?}"
    );
}

#[test]
fn answers_that_name_their_exits_are_tested_against_the_weights() {
    let pool = Pool::start();
    let load = ["--requests", "200", "--do", "http:path=/ip", "--exit-from", "body", "--verify-weights"];
    let right = pool.run(&[&load[..], &["--weight", "one=3", "--weight", "two=1"]].concat());
    assert_eq!(right.status, 0, "{right:?}");
    assert!(right.stdout.contains("PASS weights by exit: consistent with the weights: chi-square"), "{right:?}");
    let wrong = pool.run(&[&load[..], &["--weight", "one=1", "--weight", "two=1"]].concat());
    assert_eq!(wrong.status, 1, "{wrong:?}");
    assert!(wrong.stdout.contains("FAIL weights by exit: not consistent with"), "{wrong:?}");
}

#[test]
fn every_request_through_the_proxy_is_accounted_for() {
    let pool = Pool::start();
    let (certificate, witnesses) = (pool.upstreams[0].certificate(pool.folder.path()), pool.witnesses([3, 1]));
    let witnesses: Vec<_> = witnesses.iter().map(String::as_str).collect();
    let actions = ["connect", "echo:rounds=2,early", "upload:bytes=70000", "download:bytes=70000", "tls:bytes=100"];
    let more = ["http:bytes=100", "http:path=/echo,method=POST,send=50,keep-alive"];
    let actions: Vec<_> = actions.into_iter().chain(more).flat_map(|action| ["--do", action]).collect();
    let out = pool.run(
        &[
            &["--requests", "140", "--clients", "4", "--seed", "7", "--ca", &certificate, "--verify-ledger"][..],
            &["--expect", "errors == 0", "--expect", "tls.max < 1m"],
            &actions,
            &witnesses,
        ]
        .concat(),
    );
    assert_eq!(out.status, 0, "{out:?}");
    for verdict in ["ledger counts", "ledger lost: 0 ", "ledger duplicated: 0 ", "ledger unattributed: 0 "] {
        assert!(out.stdout.contains(&format!("PASS {verdict}")), "{verdict} {out:?}");
    }
}

#[test]
fn a_lost_a_doubled_and_an_unknown_request_are_each_found() {
    let pool = Pool::start();
    let [one, two] = &pool.journals;
    let load = |requests: &str, journals: &[&str]| {
        let journals: Vec<_> = journals.iter().flat_map(|path| ["--journal", path]).collect();
        // Bytes are sent: without any, a second service looks like a probe of the proxy's.
        pool.run(&[&["--seed", "9", "--verify-ledger", "--do", "echo", "--requests", requests][..], &journals].concat())
    };
    // The journals' lines are those of runs with the same seed, and so of the same ids.
    let balanced = load("40", &[one, two]);
    assert_eq!(balanced.status, 0, "{balanced:?}");
    let none = pool.folder.path().join("none");
    std::fs::write(&none, "").unwrap();
    let lost = load("4", &[&none.display().to_string()]);
    assert!(lost.status == 1 && lost.stdout.contains("FAIL ledger lost: 4 requests"), "{lost:?}");
    assert!(
        lost.stdout.contains("PASS ledger duplicated") && lost.stdout.contains("PASS ledger unattributed"),
        "{lost:?}"
    );
    let rest = load("4", &[one, two]);
    assert!(rest.status == 1 && rest.stdout.contains("FAIL ledger duplicated: 4 requests"), "{rest:?}");
    assert!(rest.stdout.contains("FAIL ledger unattributed: 36 requests"), "{rest:?}");
}
