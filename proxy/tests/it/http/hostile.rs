//! Tests what no honest client sends: each is answered with an error and an end, and nobody else notices.

mod rows;

use mock_upstreams::journal::Outcome;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::process::binary::{Binary, settled};
use crate::support::{Client, Double, config, run};
use rows::{Row, Want, rows};

/// Our name in Via, for the rows that come round in a loop.
const PSEUDONYM: &str = "ring";

/// A request that always works, and goes to the upstream.
const VALID: &str = "GET http://http.mock/ HTTP/1.1\r\nHost: http.mock\r\n\r\n";

/// A proxy in a process of its own, so that its descriptors can be counted.
async fn binary(upstream: &Double) -> Binary {
    let mut config = config(&[upstream.addr]);
    config["server"]["via"] = json!(PSEUDONYM);
    config["limits"] = json!({ "pool_per_upstream": 0 });
    Binary::start(&config).await
}

/// Sends the row's bytes. The proxy may have seen enough before it has seen all.
async fn send(client: &mut Client, row: &Row) {
    let _ = client.stream.write_all(&row.bytes).await;
    if row.finish {
        let _ = client.stream.shutdown().await;
    }
}

fn status_of(head: &str) -> Option<u16> {
    head.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()
}

async fn expect(binary: &Binary, row: &Row) {
    let Row { name, want, .. } = row;
    let mut client = binary.client().await;
    send(&mut client, row).await;
    match *want {
        Want::Refused(status) => {
            // To the end of the stream, which comes without our asking for it.
            let all = client.rest().await.unwrap_or_else(|error| panic!("{name}: no orderly end: {error}"));
            let text = String::from_utf8(all).unwrap();
            assert_eq!(status_of(&text), Some(status), "{name}: {text:?}");
            assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{name}: more than one answer: {text}");
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains("\r\nConnection: close"), "{name}: {head}");
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{name}: {text}");
            assert!(!text.contains("start_time"), "{name}: the statistics got out");
        }
        Want::Answered(status) => {
            let (head, body) = client.response().await;
            assert_eq!(status_of(&head), Some(status), "{name}: {head}");
            assert!(!String::from_utf8_lossy(&body).contains("start_time"), "{name}: the statistics got out");
            client.send(VALID).await;
            assert_eq!(status_of(&client.response().await.0), Some(200), "{name}: the same connection is usable");
        }
        Want::Ended => assert_eq!(client.rest().await.unwrap(), b"", "{name}"),
    }
}

#[test]
fn hostile_input_is_refused_and_harms_nobody() {
    run(async {
        let (upstream, journal) = Double::mock("mock").await;
        let binary = binary(&upstream).await;
        let mut watcher = binary.client().await;
        let mut valid = 0;
        let mut valid_request = async || {
            let mut client = binary.client().await;
            client.send(VALID).await;
            let (head, body) = client.response().await;
            assert_eq!((status_of(&head), &body[..]), (Some(200), &b"netdrift mock\n"[..]));
            valid += 1;
        };
        valid_request().await;
        settled(&mut watcher, binary.addr).await;
        let before = binary.descriptors();

        let rows = rows(binary.addr.port());
        for row in &rows {
            expect(&binary, row).await;
            valid_request().await;
        }

        settled(&mut watcher, binary.addr).await;
        journal.until(|counts| counts.open_connections == 0).await;
        assert_eq!(binary.descriptors(), before, "descriptors leaked");
        let usable = rows.iter().filter(|row| matches!(row.want, Want::Answered(_))).count();
        let (bodies, others): (Vec<_>, Vec<_>) =
            journal.requests().into_iter().partition(|request| request.method == "POST");
        // Valid requests are the only ones that it saw, but for the heads of those whose body turned out to be bad.
        let harmless = others.iter().filter(|one| one.method == "GET" && one.target == "http.mock:80").count();
        assert_eq!(harmless, others.len(), "{others:#?}");
        let forwarded = rows.iter().filter(|row| row.forwarded).count();
        assert_eq!(others.len(), valid + usable + forwarded);
        let spoiled = rows.iter().filter(|row| row.spoils_body).count();
        assert!(bodies.len() <= spoiled, "{bodies:#?}");
        assert!(bodies.iter().all(|body| body.outcome != Outcome::Completed), "{bodies:#?}");
    });
}

#[test]
fn the_table_is_a_table() {
    let rows = rows(1);
    assert!(rows.len() >= 80, "{}", rows.len());
    let names: std::collections::BTreeSet<_> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len(), "two rows have one name");
}
