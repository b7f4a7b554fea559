//! Rewrites the heads of plain HTTP on their way through (RFC 9110 section 7.6).

use std::time::SystemTime;

use bytes::BytesMut;

use crate::client::error::{Answer, text_response};
use crate::context::Settings;
use crate::http::authority::Authority;
use crate::http::date::http_date;
use crate::http::head::{Fields, Framing, RequestHead, ResponseHead, Version, write_line, write_request_line};
use crate::http::via::Via;
use crate::upstream::pool::Upstream;

/// A request as upstreams get it, without their credentials.
pub(super) struct Outgoing {
    /// The request line and the field lines.
    lines: BytesMut,
    /// The client asks for a change to WebSocket. No other upgrade is passed on.
    pub(super) upgrade: bool,
    /// The body waits for a 100.
    pub(super) expects_continue: bool,
}

impl Outgoing {
    /// From the client's head; `absolute` is the target to ask for.
    pub(super) fn new(
        settings: &Settings,
        client: &RequestHead,
        framing: Framing,
        authority: &Authority,
        absolute: &str,
    ) -> Self {
        let modern = client.version == Version::Http11;
        let upgrade = modern
            && framing == Framing::None
            && client.fields.contains_token("connection", "upgrade")
            && matches!(client.fields.get_one("upgrade"), Ok(Some(value)) if value.eq_ignore_ascii_case(b"websocket"));
        // To a client of HTTP/1.0 no trailers are passed on.
        let trailers = modern && client.fields.contains_token("te", "trailers");
        let has_body = !matches!(framing, Framing::None | Framing::Length(0));
        let expects_continue = modern && has_body && client.fields.contains_token("expect", "100-continue");
        // Without a body, or in HTTP/1.0, it means nothing (RFC 9110 section 10.1.1).
        let drops_expect = !expects_continue && client.fields.contains_token("expect", "100-continue");
        let mut lines = BytesMut::with_capacity(1024);
        write_request_line(&client.method, absolute, Version::Http11, &mut lines);
        // The target decides, not what the client's Host said (RFC 9112 section 3.2.2).
        write_line(b"Host", authority.in_http().as_bytes(), &mut lines);
        client.fields.write_end_to_end_to(&mut lines, |name| {
            name.eq_ignore_ascii_case(b"host") || (drops_expect && name.eq_ignore_ascii_case(b"expect"))
        });
        write_line(b"Via", settings.via.entry(client.version).as_bytes(), &mut lines);
        if upgrade {
            lines.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
        } else if trailers {
            lines.extend_from_slice(b"Connection: TE\r\nTE: trailers\r\n");
        }
        if !upgrade && settings.config.limits.pool_per_upstream == 0 {
            // No connection is kept (RFC 9112 section 9.3).
            lines.extend_from_slice(b"Connection: close\r\n");
        }
        Outgoing { lines, upgrade, expects_continue }
    }

    /// The head as `upstream` gets it.
    pub(super) fn write<S>(&self, upstream: &Upstream<S>) -> BytesMut {
        let mut out = BytesMut::with_capacity(self.lines.len() + upstream.authorization.written_len());
        out.extend_from_slice(&self.lines);
        upstream.authorization.write_to(&mut out);
        out
    }
}

/// The response's head as the client gets it.
pub(super) fn incoming(
    settings: &Settings,
    head: &ResponseHead,
    client: Version,
    (close, wall): (bool, SystemTime),
) -> BytesMut {
    let switched = head.status == 101;
    let mut out = BytesMut::with_capacity(1024);
    head.write_status_line(Version::Http11, &mut out);
    let mut is_dated = false;
    head.fields.write_end_to_end_to(&mut out, |name| {
        is_dated |= name.eq_ignore_ascii_case(b"date");
        client == Version::Http10
            && (name.eq_ignore_ascii_case(b"transfer-encoding") || name.eq_ignore_ascii_case(b"trailer"))
    });
    if !switched && !is_dated {
        // A response without a Date gets the time at which it was received (RFC 9110 section 6.6.1).
        write_line(b"Date", &http_date(wall), &mut out);
    }
    write_line(b"Via", settings.via.entry(head.version).as_bytes(), &mut out);
    if switched {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    }
    // What the target wants spoken instead goes with its refusal (RFC 9110 section 15.5.22).
    if head.status == 426 && head.fields.list("upgrade").next().is_some() {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
        write_line(b"Upgrade", &head.fields.list("upgrade").collect::<Vec<_>>().join(&b", "[..]), &mut out);
    }
    if close && !switched {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// An interim response's head as the client gets it.
pub(super) fn interim(mut head: ResponseHead, via: &Via) -> BytesMut {
    head.fields.strip_hop_by_hop();
    head.fields.push("Via", via.entry(head.version));
    head.version = Version::Http11;
    let mut out = BytesMut::with_capacity(512);
    head.write_to(&mut out);
    out
}

/// Takes one hop off Max-Forwards. Returns our own answer if none is left (RFC 9110 section 7.6.2).
pub(super) fn last_hop(head: &mut RequestHead, answer: impl FnOnce() -> Answer) -> Option<BytesMut> {
    let (options, trace) = (head.method == *"OPTIONS", head.method == *"TRACE");
    if !options && !trace {
        return None;
    }
    let left = head.fields.get_one("max-forwards").ok()??;
    // What is not a number is ignored. One that is too large for us becomes the largest that we know.
    if left.is_empty() || !left.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let left = str::from_utf8(left).ok()?.parse().unwrap_or(u64::MAX);
    if left > 0 {
        head.fields.remove("max-forwards");
        head.fields.push("Max-Forwards", (left - 1).to_string());
        return None;
    }
    if options {
        return Some(text_response(200, Fields::new(), "text/plain; charset=utf-8", "", answer()));
    }
    let mut seen = head.clone();
    seen.fields.retain(|name| !SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret.as_bytes())));
    let mut text = BytesMut::with_capacity(1024);
    seen.write_to(&mut text);
    Some(text_response(200, Fields::new(), "message/http", &String::from_utf8_lossy(&text), answer()))
}

/// Fields that the answer to a TRACE leaves out: a page could have made somebody's browser send it (RFC 9110 section
/// 9.3.8).
const SECRET: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// Whether the upstream's connection can carry another request behind this response.
pub(super) fn is_reusable(head: &ResponseHead, framing: Framing) -> bool {
    head.version == Version::Http11
        && framing != Framing::UntilClose
        && !head.fields.contains_token("connection", "close")
        && !head.fields.contains_token("proxy-connection", "close")
}

/// Schemes by which a client proves who it is to a connection, and not in each request (RFC 4559; RFC 9110 section 3.3 warns of them).
const OF_CONNECTIONS: [&[u8]; 2] = [b"ntlm ", b"negotiate "];

/// Whether the target may take whoever sends the next request on this connection for the sender of this one. While it still asks
/// for the next step of a login, it takes nobody for anybody, and that step has to come on the same connection.
pub(super) fn belongs_to_its_client(request: &RequestHead, response: &ResponseHead) -> bool {
    let has_token = |value: &[u8]| {
        let begins_with =
            |scheme: &&[u8]| value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        OF_CONNECTIONS.iter().any(begins_with)
    };
    let goes_on = || response.status == 401 && response.fields.get_all("www-authenticate").any(has_token);
    request.fields.get_all("authorization").any(has_token) && !goes_on()
}
