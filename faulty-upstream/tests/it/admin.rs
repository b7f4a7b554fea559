//! Tests control of a running upstream over its admin connection.

use faulty_upstream::{FaultyUpstream, admin};
use mock_upstreams::journal::Event;
use tokio::io::AsyncWriteExt;

use crate::support::{plan_of, read_to_end, upstream};

/// Status and body of the answer.
async fn ask(upstream: &FaultyUpstream, method: &str, path: &str, body: &str) -> (u16, String) {
    let (mut client, served) = tokio::io::duplex(1 << 16);
    let talk = async {
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        client.write_all((head + body).as_bytes()).await.unwrap();
        String::from_utf8(read_to_end(&mut client).await).unwrap()
    };
    let (answer, ()) = tokio::join!(talk, admin::serve(served, upstream));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn ids(upstream: &FaultyUpstream) -> Vec<String> {
    upstream.plan().entries().iter().map(|entry| entry.id.clone()).collect()
}

#[tokio::test]
async fn a_plan_is_changed_step_by_step_and_the_journal_tells() {
    let upstream = upstream(plan_of(r#"{"fault": "drip"}"#));
    let (status, said) = ask(&upstream, "POST", "/plan/faults", r#"{"id": "x", "fault": "status-502"}"#).await;
    assert_eq!((status, said.as_str()), (200, "added status-502@x\n"));
    assert_eq!(ask(&upstream, "POST", "/plan/faults/x/disarm", "").await.0, 200);
    assert!(!upstream.plan().entries()[1].armed);
    assert_eq!(ask(&upstream, "POST", "/plan/faults/x/arm", "").await.0, 200);
    assert!(upstream.plan().entries()[1].armed);
    assert_eq!(ask(&upstream, "DELETE", "/plan/faults/drip", "").await.0, 200);
    assert_eq!(ids(&upstream), ["x"]);
    assert_eq!(ask(&upstream, "PUT", "/plan", r#"{"seed": 9, "faults": [{"fault": "cut"}]}"#).await.0, 200);
    assert_eq!((upstream.plan().seed, ids(&upstream)), (9, vec!["cut".to_owned()]));

    let changes: Vec<String> = upstream
        .journal()
        .entries()
        .into_iter()
        .filter_map(|entry| if let Event::Plan { change } = entry.event { Some(change) } else { None })
        .collect();
    let expected = ["added status-502@x", "disarmed x", "armed x", "removed drip", "replaced by 1 faults, seed 9"];
    assert_eq!(changes, expected);
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let upstream = upstream(plan_of(r#"{"fault": "drip"}"#));
    let bad_plan = r#"{"faults": [{"fault": "cut"}, {"fault": "cutt"}]}"#;
    for (method, path, body, status, said) in [
        ("PUT", "/plan", bad_plan, 400, "faults[1].fault: no fault \"cutt\"; did you mean \"cut\"?\n"),
        ("POST", "/plan/faults", r#"{"fault": "drip"}"#, 409, "id: \"drip\" is taken"),
        ("POST", "/plan/faults", "{", 400, "not JSON"),
        ("DELETE", "/plan/faults/drop", "", 404, "no entry \"drop\"; did you mean \"drip\"?\n"),
        ("POST", "/plan/faults/no/arm", "", 404, "no entry"),
        ("GET", "/nothing", "", 404, "GET /plan"),
    ] {
        let answer = ask(&upstream, method, path, body).await;
        assert_eq!(answer.0, status, "{method} {path}");
        assert!(answer.1.starts_with(said), "{method} {path}: {}", answer.1);
    }
    assert_eq!(ids(&upstream), ["drip"]);
    assert!(upstream.journal().entries().is_empty());
}

#[tokio::test]
async fn counters_count_and_are_reset_with_the_journal() {
    let upstream = upstream(plan_of(r#"{"fault": "status-502"}"#));
    let (mut client, served) = tokio::io::duplex(1000);
    let talk = async {
        client.write_all(crate::support::connect_to("echo.mock:80").as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        read_to_end(&mut client).await
    };
    tokio::join!(talk, upstream.serve(served, mock_upstreams::listen::dial));

    let counters = ask(&upstream, "GET", "/counters", "").await.1;
    assert_eq!(counters, "{\n  \"status-502\": 1\n}\n");
    assert!(ask(&upstream, "GET", "/status", "").await.1.contains("\"faulted\": 1"));
    assert!(ask(&upstream, "GET", "/journal", "").await.1.contains(r#""faults":["status-502"]"#));
    assert!(ask(&upstream, "GET", "/plan", "").await.1.contains("\"struck\": 1"));
    assert!(ask(&upstream, "GET", "/catalogue", "").await.1.contains("\"accept-reset\""));
    assert_eq!(ask(&upstream, "POST", "/reset", "").await.0, 200);
    assert_eq!(ask(&upstream, "GET", "/counters", "").await.1, "{\n  \"status-502\": 0\n}\n");
    assert!(ask(&upstream, "GET", "/status", "").await.1.contains("\"faulted\": 0"));
}
