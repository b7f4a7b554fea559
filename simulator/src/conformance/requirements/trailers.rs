//! What becomes of the fields behind a body in chunks.

use super::probe::{demand, ok, post};
use crate::conformance::bench::{Bench, Seen};
use crate::conformance::message::contains;

const GET: &str = "GET http://a.test/p HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n";

/// Whether a client that takes trailers got the body of a reply with `trailers` as it was sent, and what it saw `is_right`. `named` stands behind
/// the reply's `Connection: close`.
pub(super) fn of_a_reply(
    bench: &Bench,
    named: &str,
    trailers: &str,
    is_right: fn(&Seen) -> bool,
) -> Result<(), String> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nConnection: close{named}\r\nX-Head: 1\r\nTrailer: X-Late\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let seen = bench.exchange(GET, &format!("{head}5\r\nhello\r\n0\r\n{trailers}\r\n\r\n"))?;
    let whole = contains(&seen.reply()?.body, b"hello");
    demand(whole && is_right(&seen), || String::from_utf8_lossy(&seen.client).into_owned())
}

/// Whether the client got the trailer.
pub(super) fn are_there(seen: &Seen) -> bool {
    contains(&seen.client.to_ascii_lowercase(), b"\r\nx-late: 1")
}

/// Whether the head has neither a field that came behind the body alone, nor the value that stood there.
pub(super) fn stay_out_of_the_head(seen: &Seen) -> bool {
    seen.reply().is_ok_and(|reply| !reply.has("x-late") && !reply.has("etag") && reply.values("x-head") == ["1"])
}

/// Whether the head that the upstream saw has nothing of the trailers of a request: another target, a length, credentials. Such a request may be
/// refused as well.
pub(super) fn of_a_request(bench: &Bench) -> Result<(), String> {
    let trailers = "X-Late: 1\r\nHost: b.test\r\nContent-Length: 9\r\nAuthorization: Basic eA==\r\n";
    let request = post(
        "X-Head: 1\r\nTrailer: X-Late\r\nTransfer-Encoding: chunked\r\n",
        &format!("5\r\nhello\r\n0\r\n{trailers}\r\n"),
    );
    let seen = bench.exchange(&request, &ok(""))?;
    if seen.raw.is_empty() && seen.status().is_some_and(|status| status >= 400) {
        return Ok(());
    }
    let request = seen.request()?;
    let merged = request.has("x-late") || request.has("authorization") || request.values("host") != ["a.test"];
    // A proxy that has the whole body may say its length instead of passing on chunks.
    let length = request.values("content-length");
    demand(!merged && (length.is_empty() || length == ["5"]), || request.head.clone())
}
