//! Tests faults in replies, to CONNECT and to plain HTTP: the exact bytes, and how it goes on behind them.

use mock_upstreams::journal::{End, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    ESTABLISHED, Faulty, connect_to, expect_reset, expect_silence, read_exactly, read_head, read_to_end, watched,
};

/// What the client sees behind the bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// An end.
    Fin,
    /// A reset.
    Rst,
    /// Nothing: the connection stays open and silent.
    Open,
    /// A tunnel that works.
    Tunnel,
    /// A connection on which the next request is served.
    Alive,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ask {
    Connect,
    Get,
}

struct Row {
    fault: &'static str,
    with: &'static str,
    ask: Ask,
    says: String,
    then: Then,
    /// What the journal says the status was.
    status: Option<u16>,
}

fn row(fault: &'static str, ask: Ask, says: impl Into<String>, then: Then, status: Option<u16>) -> Row {
    Row { fault, with: "{}", ask, says: says.into(), then, status }
}

/// A refusal by status, and what stands in its head besides.
fn refusal(fault: &'static str, status: u16, reason: &str, fields: &str) -> Row {
    let body = format!("{status} {reason}\n");
    let length = body.len();
    let says =
        format!("HTTP/1.1 {status} {reason}\r\nContent-Length: {length}\r\n{fields}Connection: close\r\n\r\n{body}");
    row(fault, Ask::Connect, says, Then::Fin, Some(status))
}

fn rows() -> Vec<Row> {
    use Ask::{Connect, Get};
    let large = |size| "x".repeat(size);
    let ok = "HTTP/1.1 200 OK\r\n";
    vec![
        refusal("status-400", 400, "Bad Request", ""),
        refusal("status-401", 401, "Unauthorized", "WWW-Authenticate: Basic realm=\"target\"\r\n"),
        refusal("status-403", 403, "Forbidden", ""),
        refusal("status-404", 404, "Not Found", ""),
        refusal("status-407", 407, "Proxy Authentication Required", "Proxy-Authenticate: Basic realm=\"upstream\"\r\n"),
        refusal("status-407-bare", 407, "Proxy Authentication Required", ""),
        refusal("status-408", 408, "Request Timeout", ""),
        refusal("status-429", 429, "Too Many Requests", "Retry-After: 1\r\n"),
        refusal("status-500", 500, "Internal Server Error", ""),
        refusal("status-502", 502, "Bad Gateway", ""),
        refusal("status-503", 503, "Service Unavailable", "Retry-After: 1\r\n"),
        refusal("status-504", 504, "Gateway Timeout", ""),
        refusal("redirect", 302, "Found", "Location: http://elsewhere.mock/\r\n"),
        Row { with: r#"{"status": 599}"#, ..refusal("status", 599, "Given", "") },
        row("status-204", Connect, "HTTP/1.1 204 No Content\r\n\r\n", Then::Tunnel, Some(204)),
        Row {
            with: r#"{"count": 2, "status": 102}"#,
            ..row(
                "informational",
                Connect,
                "HTTP/1.1 102 Interim\r\nX-Interim: yes\r\n\r\n".repeat(2) + ok + "\r\n",
                Then::Tunnel,
                Some(200),
            )
        },
        row("length-on-200", Connect, format!("{ok}Content-Length: 5\r\n\r\nhello"), Then::Tunnel, Some(200)),
        row("chunked-on-200", Connect, format!("{ok}Transfer-Encoding: chunked\r\n\r\n"), Then::Tunnel, Some(200)),
        row("http-1.0", Connect, "HTTP/1.0 200 OK\r\n\r\n", Then::Tunnel, Some(200)),
        row("no-reason", Connect, "HTTP/1.1 200 \r\n\r\n", Then::Tunnel, Some(200)),
        row("cut-head", Connect, format!("{ok}X-Cut: he"), Then::Fin, None),
        row("unfinished-head", Connect, format!("{ok}X-Field: value\r\n"), Then::Open, None),
        Row {
            with: r#"{"size": 100000}"#,
            ..row("large-line", Connect, format!("{ok}X-Large: {}\r\n\r\n", large(100_000)), Then::Fin, None)
        },
        Row {
            with: r#"{"size": 40}"#,
            ..row("many-lines", Connect, format!("{ok}{}\r\n", "X-Many: 0123456789\r\n".repeat(2)), Then::Fin, None)
        },
        row("bare-lf", Connect, "HTTP/1.1 200 OK\nX-Field: value\n\n", Then::Tunnel, Some(200)),
        row("folded-line", Connect, format!("{ok}X-Folded: a\r\n b\r\n\r\n"), Then::Tunnel, Some(200)),
        row("nul", Connect, format!("{ok}X-Field: a\0b\r\n\r\n"), Then::Open, None),
        row(
            "negative-number",
            Connect,
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: -1\r\n\r\n",
            Then::Open,
            None,
        ),
        row("absurd-number", Connect, "HTTP/1.1 20000 OK\r\n\r\n", Then::Open, None),
        row(
            "absurd-length",
            Connect,
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            Then::Open,
            None,
        ),
        row("http-9.9", Connect, "HTTP/9.9 200 OK\r\n\r\n", Then::Open, None),
        row("tls-bytes", Connect, "\u{15}\u{3}\u{3}\0\u{2}\u{2}F", Then::Fin, None),
        row("http2-preface", Connect, "\0\0\0\u{4}\0\0\0\0\0", Then::Open, None),
        row("early-200-reset", Connect, ESTABLISHED, Then::Rst, Some(200)),
        row("stalled-tunnel", Connect, ESTABLISHED, Then::Open, Some(200)),
        Row {
            with: r#"{"first": 200, "second": 502}"#,
            ..row(
                "two-replies",
                Connect,
                "HTTP/1.1 200 First\r\n\r\nHTTP/1.1 502 Second\r\n\r\n",
                Then::Tunnel,
                Some(200),
            )
        },
        row(
            "two-replies",
            Connect,
            "HTTP/1.1 407 First\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 Second\r\n\r\n",
            Then::Open,
            Some(407),
        ),
        row("reply-close", Connect, "", Then::Fin, None),
        row("reply-close", Get, "", Then::Fin, None),
        row("reply-reset", Connect, "", Then::Rst, None),
        row("reply-never", Connect, "", Then::Open, None),
        row("length-too-long", Get, format!("{ok}Content-Length: 100\r\n\r\nten bytes."), Then::Fin, Some(200)),
        row("length-too-short", Get, format!("{ok}Content-Length: 3\r\n\r\nten bytes."), Then::Open, Some(200)),
        row(
            "broken-chunk",
            Get,
            format!("{ok}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n"),
            Then::Open,
            Some(200),
        ),
        row("cut-body", Get, format!("{ok}Transfer-Encoding: chunked\r\n\r\n64\r\nten bytes."), Then::Fin, Some(200)),
        row("body-reset", Get, format!("{ok}Content-Length: 100\r\n\r\nten bytes."), Then::Rst, Some(200)),
        row(
            "keep-alive-lie",
            Get,
            format!("{ok}Connection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),
            Then::Fin,
            Some(200),
        ),
        row(
            "trailers",
            Get,
            format!("{ok}Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"),
            Then::Alive,
            Some(200),
        ),
        Row {
            with: r#"{"size": 3}"#,
            ..row("large-field", Get, format!("{ok}X-Large: xxx\r\nContent-Length: 2\r\n\r\nok"), Then::Fin, Some(200))
        },
        row(
            "blame-shifting",
            Connect,
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 30\r\nConnection: close\r\n\r\necho.mock:80 can't be reached\n",
            Then::Fin,
            Some(502),
        ),
    ]
}

const APART: &[&str] = &["drip", "garbage", "endless-head", "endless-body", "glued", "reply-first", "reused-close"];

pub(crate) fn proved() -> Vec<&'static str> {
    rows().iter().map(|row| row.fault).chain(APART.iter().copied()).collect()
}

#[tokio::test]
async fn every_reply_is_the_bytes_that_it_should_be() {
    for row in rows() {
        let name = row.fault;
        eprintln!("{name}");
        watched(check(row)).await;
    }
}

async fn check(row: Row) {
    let faulty = Faulty::start(&format!(r#"{{"fault": "{}", "with": {}}}"#, row.fault, row.with)).await;
    let request = match row.ask {
        Ask::Connect => connect_to("echo.mock:80"),
        Ask::Get => "GET http://http.mock/bytes/3 HTTP/1.1\r\nHost: http.mock\r\n\r\n".to_owned(),
    };
    let mut client = faulty.connect().await;
    client.write_all(request.as_bytes()).await.unwrap();
    let said = read_exactly(&mut client, row.says.len()).await;
    assert_eq!(String::from_utf8(said).unwrap(), row.says);
    match row.then {
        Then::Fin => {
            assert!(read_to_end(&mut client).await.is_empty());
            drop(client);
        }
        Then::Rst => expect_reset(&mut client).await,
        Then::Open => {
            client.write_all(b"anybody there?").await.unwrap();
            expect_silence(&mut client).await;
            drop(client);
        }
        Then::Tunnel => {
            client.write_all(b"ping").await.unwrap();
            client.shutdown().await.unwrap();
            assert_eq!(read_to_end(&mut client).await, b"ping");
        }
        Then::Alive => {
            client.write_all(request.as_bytes()).await.unwrap();
            assert_eq!(read_exactly(&mut client, row.says.len()).await, row.says.as_bytes());
            return;
        }
    }
    let record = faulty.record().await;
    assert_eq!(record.faults, [row.fault]);
    assert_eq!(record.status, row.status);
    let (outcome, end) = match row.then {
        Then::Fin => (Outcome::Faulted, End::Fin),
        Then::Rst => (Outcome::Faulted, End::Rst),
        Then::Open | Then::Alive => (Outcome::Faulted, End::Open),
        Then::Tunnel => (Outcome::Completed, End::Fin),
    };
    assert_eq!((record.outcome, record.upstream_end), (outcome, end));
}

#[tokio::test]
async fn the_head_comes_a_byte_at_a_time() {
    watched(async {
        let faulty = Faulty::start(r#"{"fault": "drip", "with": {"gap": "1ms"}}"#).await;
        let mut client = faulty.connect().await;
        client.write_all(connect_to("echo.mock:80").as_bytes()).await.unwrap();
        let mut first = [0; 1000];
        assert_eq!(client.read(&mut first).await.unwrap(), 1);
        let rest = read_head(&mut client).await;
        assert_eq!(rest, ESTABLISHED[1..]);
    })
    .await;
}

#[tokio::test]
async fn garbage_is_random_but_the_same_for_the_same_seed() {
    watched(async {
        let run = async || {
            let faulty = Faulty::start(r#"{"fault": "garbage", "with": {"size": 100}}"#).await;
            let mut garbage = Vec::new();
            for _ in 0..2 {
                let mut client = faulty.connect().await;
                client.write_all(connect_to("echo.mock:80").as_bytes()).await.unwrap();
                garbage.push(read_exactly(&mut client, 100).await);
            }
            garbage
        };
        let first = run().await;
        assert_ne!(first[0], first[1]);
        assert_eq!(first, run().await);
    })
    .await;
}

#[tokio::test]
async fn endless_heads_and_bodies_go_on_until_the_client_is_gone() {
    watched(async {
        let get = "GET http://http.mock/ HTTP/1.1\r\nHost: x\r\n\r\n".to_owned();
        let field = "X-More: and more\r\n".repeat(2);
        let chunk = format!("400\r\n{}\r\n", "x".repeat(1024)).repeat(2);
        for (fault, request, repeated) in
            [("endless-head", connect_to("echo.mock:80"), field), ("endless-body", get, chunk)]
        {
            let faulty = Faulty::start(&format!(r#"{{"fault": "{fault}"}}"#)).await;
            let mut client = faulty.connect().await;
            client.write_all(request.as_bytes()).await.unwrap();
            // Far more than any buffer between the two holds.
            let said = read_exactly(&mut client, 20_000_000).await;
            assert!(said.windows(repeated.len()).rev().take(3000).any(|window| window == repeated.as_bytes()));
            drop(client);
            assert_eq!(faulty.record().await.faults, [fault]);
        }
    })
    .await;
}

#[tokio::test]
async fn the_targets_first_bytes_come_in_the_packet_of_the_200() {
    watched(async {
        let faulty = Faulty::start(r#"{"fault": "glued"}"#).await;
        let mut client = faulty.connect().await;
        client.write_all(connect_to("n3.source.mock:80").as_bytes()).await.unwrap();
        let mut packet = [0; 1000];
        let length = client.read(&mut packet).await.unwrap();
        assert_eq!(packet[..length], [ESTABLISHED.as_bytes(), &[0, 1, 2]].concat());
        client.shutdown().await.unwrap();
        assert!(read_to_end(&mut client).await.is_empty());
        assert_eq!(faulty.record().await.down.bytes, 3);
    })
    .await;
}

#[tokio::test]
async fn the_reply_comes_before_the_request_and_the_tunnel_works() {
    watched(async {
        let faulty = Faulty::start(r#"{"fault": "reply-first"}"#).await;
        let mut client = faulty.connect().await;
        assert_eq!(read_head(&mut client).await, ESTABLISHED);
        client.write_all((connect_to("echo.mock:80") + "ping").as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read_to_end(&mut client).await, b"ping");
        assert_eq!(faulty.connection_faults().await, ["reply-first"]);
    })
    .await;
}

#[tokio::test]
async fn a_kept_connection_is_ended_at_its_second_request() {
    watched(async {
        let faulty = Faulty::start(r#"{"fault": "reused-close"}"#).await;
        let mut client = faulty.connect().await;
        let request = "GET http://http.mock/bytes/3 HTTP/1.1\r\nHost: http.mock\r\n\r\n";
        client.write_all(request.as_bytes()).await.unwrap();
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 200 OK"));
        read_exactly(&mut client, 3).await;
        client.write_all(request.as_bytes()).await.unwrap();
        assert!(read_to_end(&mut client).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_target_out_of_reach_is_502_and_not_what_the_fault_would_say() {
    watched(async {
        let faulty = Faulty::start(r#"{"fault": "informational"}"#).await;
        let mut client = faulty.connect().await;
        client.write_all(connect_to("no-such.mock:80").as_bytes()).await.unwrap();
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 502 "));
        drop(client);
        assert_eq!(faulty.record().await.outcome, Outcome::Unreachable);
    })
    .await;
}

#[tokio::test]
async fn others_than_the_plan_names_are_served_well() {
    watched(async {
        let entry = r#"{"fault": "status-502", "for": {"target": "bad.*", "method": "CONNECT", "user": "u"}}"#;
        let faulty = Faulty::start(entry).await;
        let credentials = "Proxy-Authorization: Basic dTpw\r\n";
        for (target, credentials, status) in [
            ("bad.echo.mock:80", credentials, "502"),
            ("echo.mock:80", credentials, "200"),
            ("bad.echo.mock:80", "", "200"),
        ] {
            let mut client = faulty.connect().await;
            let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{credentials}\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            assert_eq!(read_head(&mut client).await.split(' ').nth(1), Some(status), "{target} {credentials}");
        }
    })
    .await;
}
