//! Compares the log, the metrics and the statistics of the real binary after requests of every kind of outcome.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::metrics::sum;
use crate::process::binary::{Binary, settled, stats};
use crate::support::{Client, Double, run};

/// Words, and how often they were met.
type Counts = BTreeMap<Vec<String>, u64>;

/// Every outcome that is played. What a drain cuts is missing: nobody is left then to read a page.
const OUTCOMES: [&str; 27] = [
    "bad_chunk_size",
    "bad_credentials",
    "bad_request_line",
    "body_cut",
    "client_gone",
    "closed_before_head",
    "connect_refused",
    "dns_error",
    "head_too_large",
    "header_timeout",
    "https_without_connect",
    "loop",
    "malformed_head",
    "no_credentials",
    "no_host",
    "no_upstream",
    "ok",
    "ourselves",
    "overloaded",
    "reply_cut",
    "reply_malformed",
    "reply_timeout",
    "reset_before_head",
    "status_3xx",
    "status_407",
    "status_4xx",
    "status_5xx",
];

/// An upstream that does what the target's name says, and tells of those that it lets wait.
async fn obedient(asked: UnboundedSender<String>) -> Double {
    Double::scripted(move |_, mut peer| {
        let asked = asked.clone();
        async move {
            while let Some(head) = peer.next_head().await {
                let word = head.split([' ', '/', '.', ':']).find(|word| word.starts_with("x-")).unwrap_or_default();
                let (reply, goes_on) = match word {
                    "x-302" => ("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", true),
                    "x-403" => ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", true),
                    "x-407" => ("HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", true),
                    "x-502" => ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", true),
                    "x-noise" => ("SSH-2.0-OpenSSH_9.9\r\n\r\n", false),
                    "x-cuts" => ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", false),
                    "x-garbles" => ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false),
                    "x-closes" => return,
                    "x-resets" => return peer.reset(),
                    word if word.starts_with("x-silent") => {
                        let _ = asked.send(word.to_owned());
                        ("", false)
                    }
                    _ => ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", !head.starts_with("CONNECT")),
                };
                peer.send(reply).await;
                if !goes_on {
                    if !reply.is_empty() {
                        peer.finish().await;
                    }
                    let _ = peer.rest().await;
                    return;
                }
            }
        }
    })
    .await
}

/// One that knows no TLS.
async fn plain() -> Double {
    Double::scripted(|_, mut peer| async move {
        peer.exactly(1).await;
        peer.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        let _ = peer.rest().await;
    })
    .await
}

fn config(obedient: &Double, plain: &Double, refusing: SocketAddr) -> Value {
    json!({
        "server": { "listen_address": "127.0.0.1:0", "pid_file": "", "control_socket": "proxy.sock", "via": "agree" },
        "authentication": { "enabled": true, "users": [{ "username": "u", "password": "p" }] },
        "upstream_proxies": [
            { "url": format!("http://{}", obedient.addr), "tag": "obedient" },
            { "url": format!("http://{refusing}"), "tag": "refusing" },
            { "url": format!("https://{}", plain.addr), "tag": "plain" },
            { "url": "http://nobody.invalid:80", "tag": "nobody" },
        ],
        "health_check": { "failure_threshold": 1_000 },
        "failover": { "max_attempts": 2, "retry_budget_min_per_second": 1_000 },
        "timeouts": { "header": "200ms", "reply": "1s", "body": "200ms" },
        "limits": { "max_connections": 8 },
        "logging": { "level": "debug", "format": "json" },
    })
}

/// Sends `bytes` and reads the answer to its end, whatever that is.
async fn ask(proxy: &Binary, bytes: &str) {
    let mut client = proxy.client().await;
    client.send(bytes).await;
    let _ = client.rest().await;
}

/// Plays all of it in each round; how many requests that were.
async fn play(proxy: &Binary, asked: &mut UnboundedReceiver<String>, rounds: Range<usize>) -> usize {
    const CLOSE: &str = "Connection: close\r\n";
    const LET_IN: &str = "Proxy-Authorization: Basic dTpw\r\nConnection: close\r\n";
    let get = |host: &str, rest: &str| format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n{LET_IN}{rest}\r\n");
    let connect = |host: &str| format!("CONNECT {host}:80 HTTP/1.1\r\nHost: {host}:80\r\n{LET_IN}\r\n");
    let to_ok = |start: &str, rest: &str| format!("{start} HTTP/1.1\r\nHost: x-ok.test\r\n{rest}");
    let post = |rest: &str| to_ok("POST http://x-ok.test/", &format!("{LET_IN}{rest}"));
    let mut all = vec![
        "BAD\r\n\r\n".to_owned(),
        format!("GET http://x-ok.test/ HTTP/1.1\r\n{LET_IN}\r\n"),
        // It never ends.
        "GET http://x-ok.test/ HTT".to_owned(),
        to_ok("GET http://x-ok.test/", &format!("Long: {}\r\n\r\n", "x".repeat(20_000))),
        to_ok("GET http://x-ok.test/", &format!("{CLOSE}\r\n")),
        to_ok("GET http://x-ok.test/", &format!("Proxy-Authorization: Basic ?\r\n{CLOSE}\r\n")),
        to_ok("GET https://x-ok.test/", &format!("{LET_IN}\r\n")),
        get(&proxy.addr.to_string(), ""),
        get("x-ok.test", "Via: 1.1 agree\r\n"),
        post("Content-Length: 9\r\n\r\nhalf"),
        post("Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
    ];
    for word in ["ok", "302", "403", "407", "502", "noise", "closes", "resets", "silent", "cuts", "garbles"] {
        let host = format!("x-{word}.test");
        all.extend([get(&host, ""), connect(&host)]);
    }
    let count = rounds.len();
    for round in rounds {
        for request in &all {
            ask(proxy, request).await;
        }
        let mut cut = proxy.client().await;
        cut.send(post("Content-Length: 9\r\n\r\nhalf")).await;
        cut.finish().await;
        let _ = cut.rest().await;
        // Gone while the upstream thinks, if it is that one's turn.
        let mut gone = proxy.client().await;
        let word = format!("x-silent-{round}");
        gone.send(get(&format!("{word}.test"), "")).await;
        let heard = async { while asked.recv().await.is_some_and(|heard| heard != word) {} };
        tokio::select! {
            biased;
            () = heard => gone.reset(),
            _ = gone.rest() => {}
        }
    }
    count * (all.len() + 2)
}

/// One more than there are places for.
async fn overload(proxy: &Binary) -> usize {
    let mut inside = Vec::new();
    for _ in 0..8 {
        let mut client = proxy.client().await;
        stats(&mut client, proxy.addr).await;
        inside.push(client);
    }
    ask(proxy, "GET http://x-ok.test/ HTTP/1.1\r\nHost: x-ok.test\r\n\r\n").await;
    1
}

/// By hand: a file that leaves nobody would be refused.
async fn disable(proxy: &Binary, upstream: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxy"));
    command.args(["upstream", "disable", upstream, "--control-socket", "proxy.sock"]);
    assert!(command.current_dir(proxy.folder.path()).output().await.unwrap().status.success());
}

/// The lines of the log that tell of `event`.
fn told(log: &[Value], event: &str) -> Vec<Value> {
    log.iter().filter(|line| line["event"] == event).cloned().collect()
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn count(words: impl IntoIterator<Item = Vec<String>>) -> Counts {
    let mut counts = Counts::new();
    words.into_iter().for_each(|words| *counts.entry(words).or_default() += 1);
    counts
}

/// The series of a metric by the values of their labels, without those that are 0.
fn series(page: &str, metric: &str) -> Counts {
    let of_metric = page.lines().filter_map(|line| line.strip_prefix(metric)?.strip_prefix('{')?.split_once("} "));
    let values = |labels: &str| labels.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    let read = of_metric.map(|(labels, value)| (values(labels), value.parse::<f64>().unwrap() as u64));
    read.filter(|(_, value)| *value > 0).collect()
}

#[test]
fn log_metrics_and_statistics_agree_on_every_kind_of_outcome() {
    run(async {
        let (tell, mut asked) = unbounded_channel();
        let (obedient, plain) = (obedient(tell).await, plain().await);
        let mut config = config(&obedient, &plain, Double::refusing().await);
        let proxy = Binary::start(&config).await;
        // Once for each upstream, whose turns go round.
        let mut requests = play(&proxy, &mut asked, 0..4).await + overload(&proxy).await;
        // Ejections: everybody is charged at once now. Then nobody is left to ask.
        config["health_check"] = json!({ "failure_threshold": 1, "backoff_base": "1h", "backoff_max": "1h" });
        std::fs::write(proxy.folder.path().join("config.json"), config.to_string()).unwrap();
        proxy.logged("configuration reloaded").await;
        requests += play(&proxy, &mut asked, 4..5).await;
        for upstream in ["obedient", "refusing", "plain", "nobody"] {
            disable(&proxy, upstream).await;
        }
        ask(&proxy, "CONNECT x-ok.test:80 HTTP/1.1\r\nHost: x-ok.test:80\r\nProxy-Authorization: Basic dTpw\r\n\r\n")
            .await;
        requests += 1;

        let mut reader: Client = proxy.client().await;
        settled(&mut reader, proxy.addr).await;
        proxy.logged(&format!("\"request\":{requests},\"client\"")).await;
        let stats = stats(&mut reader, proxy.addr).await;
        reader.send(format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", proxy.addr)).await;
        let page = String::from_utf8(reader.response().await.1).unwrap();
        let log: Vec<Value> = proxy.log().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert_eq!((&stats["log_lines_dropped"], sum(&page, "netdrift_log_lines_dropped_total", "")), (&json!(0), 0));

        // Requests.
        let finished = told(&log, "finished");
        assert_eq!(finished.len(), requests);
        let outcomes = count(finished.iter().map(|one| vec![word(&one["outcome"]), word(&one["blame"])]));
        for outcome in OUTCOMES {
            assert!(outcomes.keys().any(|words| words[0] == outcome), "{outcome} is missing of {outcomes:?}");
        }
        assert_eq!(series(&page, "netdrift_requests_total"), outcomes);
        let mut blames = count(finished.iter().map(|one| vec![word(&one["blame"])]));
        blames.remove(&vec![String::new()]);
        let object = |value: &Value| -> Counts {
            value.as_object().unwrap().iter().map(|(key, count)| (vec![key.clone()], count.as_u64().unwrap())).collect()
        };
        assert_eq!(object(&stats["errors_by_blame"]["requests"]), blames);
        let verdicts = count(told(&log, "verdict").iter().map(|one| vec![one["success"].to_string()]));
        let total = |field: &str| stats["total"][field].as_u64().unwrap();
        assert_eq!(verdicts[&vec!["true".to_owned()]], total("success_requests"));
        assert_eq!(verdicts[&vec!["false".to_owned()]], total("failed_requests"));
        assert_eq!(total("total_requests") + stats["rejected_requests"].as_u64().unwrap(), requests as u64);
        let tried = finished.iter().filter(|one| one["attempts"] != 0).count();
        assert_eq!(sum(&page, "netdrift_request_seconds_count", ""), tried as u64);

        // Attempts. The statistics say how each upstream's id and name belong together.
        let upstreams = stats["total"]["upstream_metrics"].as_array().unwrap();
        let names: BTreeMap<String, String> =
            upstreams.iter().map(|one| (word(&one["id"]), word(&one["name"]))).collect();
        let name = |line: &Value| names[line["id"].as_str().unwrap()].clone();
        let attempts = told(&log, "attempt_ended");
        let result = |one: &Value| one["failure"].as_str().unwrap_or("ok").to_owned();
        let by_result = count(attempts.iter().map(|one| vec![name(one), "request".to_owned(), result(one)]));
        let mut shown = series(&page, "netdrift_upstream_attempts_total");
        shown.retain(|words, _| words[1] == "request");
        assert_eq!(shown, by_result);
        assert!(by_result.keys().any(|words| words[2] == "tls_failed"), "{by_result:?}");
        for one in upstreams {
            let of = |matches: fn(&str) -> bool| -> u64 {
                let counts = by_result.iter().filter(|(words, _)| words[0] == one["name"] && matches(&words[2]));
                counts.map(|(_, count)| count).sum()
            };
            let [all, ok, failed] = [of(|_| true), of(|word| word == "ok"), of(|word| word != "ok")];
            assert_eq!((&one["total_requests"], &one["success_requests"]), (&json!(all), &json!(ok)), "{one}");
            assert_eq!(one["failed_requests"], json!(failed), "{one}");
        }
        assert_eq!(sum(&page, "netdrift_upstream_attempt_seconds_count", ""), attempts.len() as u64);
        let each =
            |one: &Value, field: &str| word(&one[field]).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let failed = finished.iter().flat_map(|one| {
            let words = each(one, "failed").into_iter().map(|word| word.rsplit('=').next().unwrap().to_owned());
            each(one, "failed_ids").into_iter().zip(words).collect::<Vec<_>>()
        });
        let mut by_failure = Counts::new();
        for (words, count) in series(&page, "netdrift_upstream_failed_attempts_total") {
            *by_failure.entry(vec![words[0].clone(), words[2].clone()]).or_default() += count;
        }
        assert_eq!(by_failure, count(failed.map(|(id, failure)| vec![names[&id].clone(), failure])));
        let blamed = told(&log, "blamed");
        let by_rule = count(blamed.iter().map(|one| vec![name(one), word(&one["blame"]), word(&one["rule"])]));
        assert_eq!(series(&page, "netdrift_upstream_blamed_attempts_total"), by_rule);
        assert_eq!(
            object(&stats["errors_by_blame"]["attempts"]),
            count(blamed.iter().map(|one| vec![word(&one["blame"])]))
        );

        // Changes of health.
        let changes = |event: &str| count(told(&log, event).iter().map(|one| vec![name(one)]));
        let remembered = |event: &str| {
            let all = stats["health_events"].as_array().unwrap();
            count(all.iter().filter(|one| one["event"] == event).map(|one| vec![word(&one["name"])]))
        };
        for (event, metric) in [
            ("ejected", "netdrift_upstream_ejections_total"),
            ("recovered", "netdrift_upstream_recoveries_total"),
            ("suspected", "netdrift_upstream_suspicions_total"),
        ] {
            assert_eq!(series(&page, metric), changes(event), "{event}");
            assert_eq!(remembered(event), changes(event), "{event}");
        }
        assert!(!changes("ejected").is_empty(), "nobody was ejected");
    });
}
