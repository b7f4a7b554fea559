//! The requests and replies that checks begin with.

use crate::conformance::bench::Bench;
use crate::conformance::message::Message;

/// A GET of a page with `fields`, each ended by CRLF. Its connection ends with it.
pub(super) fn get(fields: &str) -> String {
    format!("GET http://a.test/p HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{fields}\r\n")
}

/// A POST with `fields` and with `body` behind its head.
pub(super) fn post(fields: &str, body: &str) -> String {
    format!("POST http://a.test/p HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{fields}\r\n{body}")
}

/// A reply of `hello` with `fields`.
pub(super) fn ok(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n{fields}\r\nhello")
}

/// The request that the upstream saw when a client sent `request` and it answered well.
pub(super) fn forwarded(bench: &Bench, request: &str) -> Result<Message, String> {
    bench.exchange(request, &ok(""))?.request().cloned()
}

/// The reply that a client got when the upstream answered its GET with `reply`.
pub(super) fn returned(bench: &Bench, reply: &str) -> Result<Message, String> {
    bench.exchange(&get(""), reply)?.reply()
}

/// `Ok` if `holds`, else what was seen.
pub(super) fn demand(holds: bool, seen: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(seen()) }
}
