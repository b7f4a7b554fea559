//! Asks as a client, and compares what it sees with the table.

use std::io::ErrorKind;
use std::net::SocketAddr;

use mock_upstreams::targets::pattern;
use tokio::io::AsyncWriteExt;

use super::support::Client;
use super::table::{Asks, Sees};

/// Bytes that go through a tunnel and come back, and bytes of a page.
const LENGTH: usize = 8192;
/// What a client takes of a body without an end.
const ENOUGH: usize = 256 * 1024;

const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

impl Asks {
    /// Requests that one asking makes.
    pub(crate) fn requests(self) -> usize {
        match self {
            Asks::Tunnel | Asks::Get => 1,
            Asks::GetTwice => 2,
        }
    }

    /// Asks the proxy at `addr` and checks that it sees what it must.
    pub(crate) async fn ask(self, addr: SocketAddr, sees: Sees) {
        let mut client = Client::connect(addr).await;
        match self {
            Asks::Tunnel => {
                connect(&mut client).await;
                assert_eq!(client.head().await, ESTABLISHED);
                use_tunnel(client, sees).await;
            }
            Asks::Get => {
                get(&mut client, "Connection: close\r\n").await;
                read_page(client, sees).await;
            }
            Asks::GetTwice => {
                get(&mut client, "").await;
                let (head, body) = client.response().await;
                check_page(&head, &body, sees);
                get(&mut client, "Connection: close\r\n").await;
                read_page(client, sees).await;
            }
        }
    }

    /// Asks the proxy at `addr`, which can do nothing for it and must say so: the status.
    pub(crate) async fn ask_in_vain(self, addr: SocketAddr) -> u16 {
        let mut client = Client::connect(addr).await;
        match self {
            Asks::Tunnel => connect(&mut client).await,
            Asks::Get | Asks::GetTwice => get(&mut client, "Connection: close\r\n").await,
        }
        let head = client.head().await;
        assert!(head.contains("\r\nProxy-Status: netdrift; "), "{head}");
        assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
        assert!(!client.rest().await.unwrap().is_empty(), "no text behind {head}");
        status(&head)
    }
}

async fn connect(client: &mut Client) {
    client.send("CONNECT echo.mock:80 HTTP/1.1\r\nHost: echo.mock:80\r\n\r\n").await;
}

async fn get(client: &mut Client, fields: &str) {
    client.send(format!("GET http://http.mock/bytes/{LENGTH} HTTP/1.1\r\nHost: http.mock\r\n{fields}\r\n")).await;
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

async fn use_tunnel(mut client: Client, sees: Sees) {
    let sent = pattern(0, LENGTH);
    let written = client.stream.write_all(&sent).await;
    match sees {
        Sees::Success => whole(client, "", &sent).await,
        Sees::Behind(front) => whole(client, front, &sent).await,
        Sees::Altered { more } => {
            let got = client.exactly(LENGTH + more).await;
            assert_ne!(got[..LENGTH], sent[..], "nothing was altered");
            end_in_order(client).await;
        }
        Sees::Ended { least } => {
            let got = client.rest().await.unwrap();
            true_bytes(&got, &sent, least);
            // The other direction is not cut with it.
            client.finish().await;
        }
        Sees::Reset { least } => {
            // A write that runs into the reset takes it, and leaves an end for the next read.
            let error = written.and(client.rest().await.map(drop)).expect_err("an end in order");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            true_bytes(&client.held, &sent, least);
        }
        Sees::Answer(..) | Sees::Aborted(_) | Sees::Endless => panic!("no sight in a tunnel: {sees:?}"),
    }
}

async fn whole(mut client: Client, front: &str, sent: &[u8]) {
    assert_eq!(client.exactly(front.len()).await, front.as_bytes());
    assert!(client.exactly(sent.len()).await == sent, "other bytes came back");
    end_in_order(client).await;
}

async fn end_in_order(mut client: Client) {
    client.finish().await;
    assert_eq!(client.rest().await.unwrap(), b"", "behind the last byte");
}

fn true_bytes(got: &[u8], sent: &[u8], least: usize) {
    assert!((least..=sent.len()).contains(&got.len()), "{} bytes came", got.len());
    assert!(sent.starts_with(got), "other bytes came back");
}

async fn read_page(mut client: Client, sees: Sees) {
    let head = client.head().await;
    match sees {
        Sees::Aborted(expected) => {
            assert_eq!(status(&head), expected, "{head}");
            let error = client.rest().await.expect_err("an end in order");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        Sees::Endless => {
            assert_eq!(status(&head), 200, "{head}");
            client.exactly(ENOUGH).await;
        }
        _ => {
            let body = client.rest().await.unwrap();
            check_page(&head, &body, sees);
        }
    }
}

fn check_page(head: &str, body: &[u8], sees: Sees) {
    let (expected_status, expected) = match sees {
        Sees::Success => (200, pattern(0, LENGTH)),
        Sees::Answer(status, text) => (status, text.into()),
        _ => panic!("no sight of a page: {sees:?}"),
    };
    assert_eq!(status(head), expected_status, "{head}");
    assert!(body == expected, "{}", String::from_utf8_lossy(body));
}
