//! Replies that are not written as they should be, but have one reading: a strict client, hyper, gets that one and no other
//! (ARCHITECTURE.md, "Lenient and strict").

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc::unbounded_channel;

use super::plain::{get, reply};
use crate::support::{Double, TestProxy, run};

/// A reply, and how it must be read.
struct Row {
    name: &'static str,
    method: &'static str,
    reply: &'static str,
    status: u16,
    body: &'static str,
    /// Fields that must come with one of these values each; `None` for one that must not come.
    fields: &'static [(&'static str, Option<&'static str>)],
}

const fn row(name: &'static str, reply: &'static str, body: &'static str) -> Row {
    Row { name, method: "GET", reply, status: 200, body, fields: &[] }
}

impl Row {
    const fn status(self, status: u16) -> Self {
        Row { status, ..self }
    }

    const fn head(self) -> Self {
        Row { method: "HEAD", ..self }
    }

    const fn fields(self, fields: &'static [(&'static str, Option<&'static str>)]) -> Self {
        Row { fields, ..self }
    }
}

/// The upstream ends its side behind each.
const ROWS: &[Row] = &[
    row("space before a colon", "HTTP/1.1 200 OK\r\nX : y\r\nContent-Length : 2\r\n\r\nok", "ok")
        .fields(&[("x", Some("y")), ("content-length", Some("2"))]),
    row(
        "tab before the coding's colon",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding\t: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "ok",
    ),
    row("folded field", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\tc\r\nContent-Length: 2\r\n\r\nok", "ok")
        .fields(&[("x", Some("a b c"))]),
    row("folded coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok"),
    row("LF alone", "HTTP/1.1 200 OK\nX: y\nContent-Length: 2\n\nok", "ok").fields(&[("x", Some("y"))]),
    row("LF alone, until the end", "HTTP/1.1 200 OK\n\nok\r\n\r\n", "ok\r\n\r\n"),
    row("control bytes in a value", "HTTP/1.1 200 OK\r\nX: a\x01\x7fb\r\nContent-Length: 2\r\n\r\nok", "ok")
        .fields(&[("x", Some("a  b"))]),
    row("control byte in the reason", "HTTP/1.1 200 O\x0bK\r\nContent-Length: 2\r\n\r\nok", "ok"),
    row("name that is no token", "HTTP/1.1 200 OK\r\nX(y): z\r\nContent-Length: 2\r\n\r\nok", "ok"),
    row("empty line first", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"),
    row("words far apart", "HTTP/1.1 \t200  \r\nContent-Length: 2\r\n\r\nok", "ok"),
    row("no reason and no space", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "ok"),
    row("a later version", "HTTP/1.2 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok"),
    row("status 999", "HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok", "ok").status(999),
    row("status 600", "HTTP/1.1 600 Odd\r\nContent-Length: 2\r\n\r\nok", "ok").status(600),
    row("length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", "ok")
        .fields(&[("content-length", Some("2"))]),
    row("length twice in a list", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", "ok")
        .fields(&[("content-length", Some("2"))]),
    row(
        "coding twice",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "ok",
    )
    .fields(&[("transfer-encoding", Some("chunked"))]),
    row(
        "length beside coding",
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "ok",
    )
    .fields(&[("content-length", None), ("transfer-encoding", Some("chunked"))]),
    row("identity", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok", "ok")
        .fields(&[("transfer-encoding", None)]),
    row(
        "spaces behind a chunk's size",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2   \r\nok\r\n0 \r\n\r\n",
        "ok",
    ),
    row("204 with a length", "HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\n", "")
        .status(204)
        .fields(&[("content-length", None)]),
    row("204 with an empty length", "HTTP/1.1 204 None\r\nContent-Length: 0\r\n\r\n", "")
        .status(204)
        .fields(&[("content-length", None)]),
    row("204 with a coding", "HTTP/1.1 204 None\r\nTransfer-Encoding: chunked\r\n\r\n", "")
        .status(204)
        .fields(&[("transfer-encoding", None)]),
    row("204 with a body", "HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 Forged\r\n\r\n", "").status(204),
    row("304 with a coding", "HTTP/1.1 304 Same\r\nTransfer-Encoding: chunked\r\n\r\n", "").status(304),
    row("304 with two lengths", "HTTP/1.1 304 Same\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "")
        .status(304)
        .fields(&[("content-length", None)]),
    row("HEAD with a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "")
        .head()
        .fields(&[("content-length", Some("5"))]),
    row("HEAD with a bad length", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "")
        .head()
        .fields(&[("content-length", None)]),
    row("HEAD with both", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "")
        .head()
        .fields(&[("content-length", None), ("transfer-encoding", Some("chunked"))]),
    row(
        "HEAD with both, one oddly written",
        "HTTP/1.1 200 OK\r\nContent-Length : 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "",
    )
    .head()
    .fields(&[("content-length", None), ("transfer-encoding", None)]),
    row(
        "304 with both, one folded",
        "HTTP/1.1 304 Same\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\n",
        "",
    )
    .status(304)
    .fields(&[("content-length", None), ("transfer-encoding", None)]),
    row(
        "interim replies with framing",
        "HTTP/1.1 102 Wait\r\nContent-Length : 5\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 103 Hints\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "ok",
    ),
];

async fn sends(reply: &'static str) -> Double {
    Double::scripted(move |_, mut peer| async move {
        peer.head().await;
        peer.send(reply).await;
    })
    .await
}

#[test]
fn a_strict_client_reads_what_we_read() {
    run(async {
        for Row { name, method, reply, status, body, fields } in ROWS {
            let proxy = TestProxy::before(&[sends(reply).await.addr]).await;
            let stream = TokioIo::new(TcpStream::connect(proxy.addr).await.unwrap());
            let (mut sender, connection) = http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            let request = Request::builder().method(*method).uri("http://a.test/").header("Host", "a.test");
            let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await;
            let answer = answer.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(answer.status().as_u16(), *status, "{name}");
            for (field, wanted) in *fields {
                let got: Vec<_> =
                    answer.headers().get_all(*field).iter().map(|value| value.to_str().unwrap()).collect();
                assert_eq!(got, wanted.iter().copied().collect::<Vec<_>>(), "{name}: {field}");
            }
            let got = answer.into_body().collect().await.unwrap_or_else(|error| panic!("{name}: {error}")).to_bytes();
            assert_eq!(got, *body, "{name}");
            assert_eq!(proxy.ear.finished(1).await.failed_attempts, [], "{name}");
        }
    });
}

/// Whoever can't write a head may mean another end of its body than we do.
#[test]
fn a_connection_whose_reply_had_to_be_mended_is_not_used_again() {
    for odd in [
        "HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0, 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\n",
    ] {
        run(async move {
            let (tell, mut told) = unbounded_channel();
            let upstream = Double::scripted(move |number, mut peer| {
                let tell = tell.clone();
                async move {
                    peer.head().await;
                    peer.send(odd).await;
                    // Held open: that we don't use it again must be our own choice.
                    let _ = tell.send((number, peer.next_head().await));
                }
            })
            .await;
            let proxy = TestProxy::before(&[upstream.addr]).await;
            let mut client = proxy.client().await;
            client.send(get("/")).await;
            let head = client.head().await;
            assert!(!head.contains("Connection: close"), "that is between us and the upstream: {head}");
            assert_eq!(told.recv().await.unwrap(), (0, None), "{odd:?}");
        });
    }
}

/// What the upstream says behind a 204 is nobody's answer.
#[test]
fn what_comes_behind_a_reply_without_a_body_is_not_the_next_reply() {
    run(async {
        let upstream = Double::scripted(|_, mut peer| async move {
            let path = peer.head().await;
            if path.contains("/none") {
                peer.send(format!("HTTP/1.1 204 None\r\nContent-Length: 99\r\n\r\n{}", reply(200, "forged"))).await;
            } else {
                peer.send(reply(200, "true")).await;
            }
            let _ = peer.rest().await;
        })
        .await;
        let proxy = TestProxy::before(&[upstream.addr]).await;
        let mut client = proxy.client().await;
        client.send(get("/none")).await;
        assert!(client.head().await.starts_with("HTTP/1.1 204 "));
        client.send(get("/")).await;
        assert_eq!(client.response().await.1, b"true");
    });
}
