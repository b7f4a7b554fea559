//! What one HTTP exchange sends: the head, and the body in its framing.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::client::active_request::{ActiveRequest, bounded, send};
use crate::client::checksum::{Transferred, fill};
use crate::client::connector::Connector;
use crate::client::outcome::{Failure, FailureKind, Phase};
use crate::client::response::{BufferedStream, ResponseHead};
use crate::workload::{Action, ActionKind, ConnectionUse, HttpExchange, HttpVersion};

/// The trailer of a body in chunks, of both sides: the CRC-32 of the body in hexadecimal, as `http.mock/trailers` sends it.
pub(in crate::client) const CHECKSUM: &str = "x-checksum";

/// The largest chunk that is sent. The first has one byte, and each has twice those of the one before.
const MOST_CHUNK: usize = 8192;

impl<N: Connector> ActiveRequest<'_, N> {
    /// Sends one request. Returns the final response's head where it came instead of the word to go on with the body.
    pub(in crate::client) async fn send_request<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        action: &Action,
        wire: &mut BufferedStream<S>,
        exchange: &HttpExchange,
    ) -> Result<Option<ResponseHead>, Failure> {
        let phase = reply_phase(action);
        let head = self.request_head(action, exchange);
        let mut of_head = Transferred::default();
        let sending = send(wire, head.as_bytes(), action.throttle, &mut of_head);
        bounded(self.deadline, phase, sending).await?;
        if exchange.expect
            && let Some(head) = self.wait_for_continue(wire, exchange, phase).await?
        {
            return Ok(Some(head));
        }
        let mut body = vec![0; exchange.send as usize];
        fill(self.request.index ^ self.workload.seed, &mut body);
        let up = &mut self.measured.up;
        let sending = async {
            if exchange.chunked {
                send_chunks(action, wire, &body, exchange.trailers, up).await
            } else {
                send(wire, &body, action.throttle, up).await
            }
        };
        bounded(self.deadline, phase, sending).await?;
        Ok(None)
    }

    async fn wait_for_continue<S: AsyncRead + Unpin>(
        &mut self,
        wire: &mut BufferedStream<S>,
        exchange: &HttpExchange,
        phase: Phase,
    ) -> Result<Option<ResponseHead>, Failure> {
        loop {
            let head = bounded(self.deadline, phase, wire.any_head()).await?;
            match head.status {
                100 => return Ok(None),
                101..=199 => refuse_untimely(&head, exchange, phase)?,
                _ => return Ok(Some(head)),
            }
        }
    }

    /// The head of one request: in absolute-form where the proxy is to pass it on, else in origin-form.
    pub(in crate::client) fn request_head(&self, action: &Action, exchange: &HttpExchange) -> String {
        let HttpExchange { method, path, send, version, .. } = exchange;
        let default_port = if is_the_proxys(action) { ":80" } else { ":443" };
        let host = self.request.target.strip_suffix(default_port).unwrap_or(&self.request.target);
        let absolute = matches!(action.kind, ActionKind::Http { .. });
        let origin = if absolute { format!("http://{host}") } else { String::new() };
        let mut head = format!("{method} {origin}{path} HTTP/{version}\r\nHost: {host}\r\n");
        if is_the_proxys(action) {
            head.push_str(&self.credentials());
        }
        if let Some(login) = &exchange.login {
            head.push_str(&format!("Authorization: {}\r\n", login.authorization()));
        }
        let keeps = action.connection() != ConnectionUse::Once;
        // TE is a matter of this connection alone, which has to be said (RFC 9110 section 10.1.4).
        let connection = match (version, keeps, exchange.trailers) {
            (HttpVersion::Http11, true, false) | (HttpVersion::Http10, false, _) => "",
            (HttpVersion::Http11, true, true) => "Connection: TE\r\nTE: trailers\r\n",
            (HttpVersion::Http11, false, true) => "Connection: close, TE\r\nTE: trailers\r\n",
            (HttpVersion::Http11, false, false) => "Connection: close\r\n",
            (HttpVersion::Http10, true, _) => "Connection: keep-alive\r\n",
        };
        head.push_str(connection);
        if exchange.chunked {
            head.push_str("Transfer-Encoding: chunked\r\n");
            if exchange.trailers {
                head.push_str(&format!("Trailer: {CHECKSUM}\r\n"));
            }
        } else if *send > 0 {
            head.push_str(&format!("Content-Length: {send}\r\n"));
        }
        if exchange.expect {
            head.push_str("Expect: 100-continue\r\n");
        }
        head.push_str("\r\n");
        head
    }
}

/// Whether it is the proxy that reads the request, and not a target inside a tunnel.
pub(in crate::client) fn is_the_proxys(action: &Action) -> bool {
    !action.is_tunnel()
}

/// The phase in which a response's head is waited for.
pub(in crate::client) fn reply_phase(action: &Action) -> Phase {
    if is_the_proxys(action) { Phase::Reply } else { Phase::Data }
}

/// Refuses interim responses that may not come: a change of protocol that nobody asked for, and any at all in answer to
/// HTTP/1.0 (RFC 9110 sections 7.8 and 15.2).
pub(in crate::client) fn refuse_untimely(
    head: &ResponseHead,
    exchange: &HttpExchange,
    phase: Phase,
) -> Result<(), Failure> {
    if head.status == 101 || exchange.version == HttpVersion::Http10 {
        return Err(FailureKind::Malformed.at(phase));
    }
    Ok(())
}

/// Sends `body` in chunks of growing sizes. `sent` counts the body's own bytes.
async fn send_chunks<S: AsyncWrite + Unpin>(
    action: &Action,
    wire: &mut S,
    body: &[u8],
    trailers: bool,
    sent: &mut Transferred,
) -> io::Result<()> {
    let framing = &mut Transferred::default();
    let (mut rest, mut size) = (body, 1);
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(size.min(rest.len()));
        send(wire, format!("{:x}\r\n", chunk.len()).as_bytes(), action.throttle, framing).await?;
        send(wire, chunk, action.throttle, sent).await?;
        send(wire, b"\r\n", action.throttle, framing).await?;
        (rest, size) = (behind, (size * 2).min(MOST_CHUNK));
    }
    let trailer = if trailers { format!("{CHECKSUM}: {:08x}\r\n", sent.checksum) } else { String::new() };
    send(wire, format!("0\r\n{trailer}\r\n").as_bytes(), action.throttle, framing).await
}
