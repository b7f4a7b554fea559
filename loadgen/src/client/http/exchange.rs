//! Carries out the actions that are one HTTP exchange: plain ones in absolute-form, and those inside TLS.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, timeout};

use super::request::{CHECKSUM, is_the_proxys, refuse_untimely, reply_phase};
use crate::client::active_request::{ActiveRequest, KeptConnection, LINGER, bounded, pace};
use crate::client::checksum::{Transferred, pattern};
use crate::client::connector::Connector;
use crate::client::outcome::{Failure, FailureKind, Outcome, Phase};
use crate::client::response::{BodyLength, BodyReader, BufferedStream, ResponseHead};
use crate::workload::{Action, ConnectionUse, ExitFrom, HttpExchange, HttpVersion};

const BLOCK: usize = 16 * 1024;

/// The most bytes of a body in which the name of an exit is looked for.
const MOST_EXIT: usize = 64 * 1024;

/// How an exchange went, and whether its connection may be used again.
pub(in crate::client) type Exchanged = (Outcome, bool);

impl<N: Connector> ActiveRequest<'_, N> {
    pub(in crate::client) async fn plain(
        &mut self,
        action: &Action,
        exchange: &HttpExchange,
        connection: ConnectionUse,
        kept: KeptConnection<N>,
    ) -> (Outcome, KeptConnection<N>) {
        self.measured.reused = kept.is_some();
        let mut wire = match kept {
            Some(wire) => wire,
            None => match self.connect().await {
                Ok(wire) => wire,
                Err(failure) => return (Err(failure), None),
            },
        };
        let (mut outcome, mut again) = self.exchange(action, &mut wire, exchange).await;
        if self.found_it_closed(&outcome) && !exchange.has_body() {
            self.measured.reused = false;
            wire = match self.connect().await {
                Ok(wire) => wire,
                Err(failure) => return (Err(failure), None),
            };
            (outcome, again) = self.exchange(action, &mut wire, exchange).await;
        }
        if outcome.is_ok() {
            outcome = nothing_behind(&mut wire, exchange, again).await;
        }
        let keeps = again && wire.ahead().is_empty() && connection != ConnectionUse::Once;
        (outcome, keeps.then_some(wire))
    }

    /// Whether the other side closed a kept connection just as the request went out (RFC 9112 section 9.3.1).
    pub(in crate::client) fn found_it_closed(&self, outcome: &Outcome) -> bool {
        let closed = matches!(outcome, Err(Failure { kind: FailureKind::Cut | FailureKind::Reset, .. }));
        closed && self.measured.reused && self.measured.status.is_none()
    }

    /// Sends one request and reads its response.
    pub(in crate::client) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        action: &Action,
        wire: &mut BufferedStream<S>,
        exchange: &HttpExchange,
    ) -> Exchanged {
        self.measured.up = Transferred::default();
        match self.send_request(action, wire, exchange).await {
            // Whoever answers before the body was sent may still wait for it: the connection is of no further use.
            Ok(Some(head)) => (self.judge(action, wire, exchange, &head).await.0, false),
            Ok(None) => self.response(action, wire, exchange).await,
            Err(failure) => (Err(failure), false),
        }
    }

    /// Reads the response to a request that was sent.
    pub(in crate::client) async fn response<S: AsyncRead + Unpin>(
        &mut self,
        action: &Action,
        wire: &mut BufferedStream<S>,
        exchange: &HttpExchange,
    ) -> Exchanged {
        let phase = reply_phase(action);
        let before = Instant::now();
        let head = loop {
            match bounded(self.deadline, phase, wire.any_head()).await {
                Ok(head) if !(100..=199).contains(&head.status) => break head,
                Ok(interim) => match refuse_untimely(&interim, exchange, phase) {
                    Ok(()) => {}
                    Err(failure) => return (Err(failure), false),
                },
                Err(failure) => return (Err(failure), false),
            }
        };
        self.first_byte(before);
        self.judge(action, wire, exchange, &head).await
    }

    /// Reads what follows the head of a response, and says whether all of it is right.
    async fn judge<S: AsyncRead + Unpin>(
        &mut self,
        action: &Action,
        wire: &mut BufferedStream<S>,
        exchange: &HttpExchange,
        head: &ResponseHead,
    ) -> Exchanged {
        if is_the_proxys(action) {
            self.measured.answered_by(head);
        }
        if let Err(failure) = self.body(action, wire, exchange, head).await {
            return (Err(failure), false);
        }
        self.last_byte();
        let right = match exchange.status {
            Some(status) => status == head.status,
            None => (200..400).contains(&head.status),
        };
        let outcome = if right { Ok(()) } else { Err(FailureKind::Status(head.status).at(Phase::Reply)) };
        (outcome, head.keeps_alive())
    }

    async fn body<S: AsyncRead + Unpin>(
        &mut self,
        action: &Action,
        wire: &mut BufferedStream<S>,
        exchange: &HttpExchange,
        head: &ResponseHead,
    ) -> Outcome {
        let length = body_length(exchange, head)?;
        // Most bodies are small: a whole block for each would cost more than reading it.
        let size = match length {
            BodyLength::Bytes(bytes) => usize::try_from(bytes).unwrap_or(BLOCK).min(BLOCK),
            BodyLength::Chunked | BodyLength::ToEnd => BLOCK,
        };
        let mut body = BodyReader::new(length);
        let exit_from = self.workload.exit_from.as_ref();
        let keeps_text = matches!(exit_from, Some(ExitFrom::Json(_) | ExitFrom::Body));
        let good = (200..300).contains(&head.status);
        let checked = exchange.pattern.filter(|_| good);
        // What `/echo` of mock-upstreams answers is what it was sent, all of it.
        let echoes = exchange.path == "/echo" && exchange.has_body() && good;
        let longest = checked.or(echoes.then_some(exchange.send)).or(exchange.most.filter(|_| good));
        let (mut text, mut block) = (Vec::new(), vec![0; size]);
        let mut down = Transferred::default();
        while !body.is_over() {
            let most = pace(action, size).await;
            let read = bounded(self.deadline, Phase::Data, body.read(wire, &mut block[..most])).await;
            let got = match read {
                Ok(got) => &block[..got],
                Err(failure) => {
                    self.measured.down = down;
                    return Err(failure);
                }
            };
            let same = checked.is_none() || (down.bytes..).zip(got).all(|(at, byte)| *byte == pattern(at));
            down.add(got);
            // What is wrong already may be without an end as well.
            if !same || longest.is_some_and(|bytes| down.bytes > bytes) {
                self.measured.down = down;
                return Err(FailureKind::Corrupt.at(Phase::Data));
            }
            if keeps_text && text.len() < MOST_EXIT {
                text.extend_from_slice(got);
            }
        }
        self.measured.down = down;
        self.measured.exit = exit_from.and_then(|from| exit(from, head, &text));
        let same = !echoes || (down == self.measured.up && down.bytes == exchange.send);
        let proven = !exchange.trailers || !good || {
            let checksum = format!("{:08x}", down.checksum);
            matches!(body.trailers(), [(name, value)] if name == CHECKSUM && *value == checksum)
        };
        let sized = checked.is_none_or(|bytes| match exchange.method.as_str() {
            "HEAD" => head.field("content-length") == Some(bytes.to_string().as_str()),
            _ => bytes == down.bytes,
        });
        if same && proven && sized { Ok(()) } else { Err(FailureKind::Corrupt.at(Phase::Data)) }
    }
}

/// Says how the end of the response's body is found.
fn body_length(exchange: &HttpExchange, head: &ResponseHead) -> Result<BodyLength, Failure> {
    let length = head.length().map_err(|error: io::Error| FailureKind::of(&error).at(Phase::Data))?;
    match length {
        _ if exchange.method == "HEAD" => Ok(BodyLength::Bytes(0)),
        // Who speaks HTTP/1.0 can't read them (RFC 9112 section 7).
        BodyLength::Chunked if exchange.version == HttpVersion::Http10 => Err(FailureKind::Malformed.at(Phase::Data)),
        length => Ok(length),
    }
}

/// Behind a response that is over nothing may follow. The body that a HEAD does not have would come last, so that the end
/// of a connection that ends is waited for there.
pub(in crate::client) async fn nothing_behind<S: AsyncRead + Unpin>(
    wire: &mut BufferedStream<S>,
    exchange: &HttpExchange,
    again: bool,
) -> Outcome {
    let nothing = if exchange.method == "HEAD" && !again {
        !matches!(timeout(LINGER, wire.read(&mut [0])).await, Ok(Ok(1..)))
    } else {
        wire.ahead().is_empty()
    };
    if nothing { Ok(()) } else { Err(FailureKind::Corrupt.at(Phase::Data)) }
}

fn exit(from: &ExitFrom, head: &ResponseHead, text: &[u8]) -> Option<String> {
    match from {
        ExitFrom::Header(name) => head.field(&name.to_ascii_lowercase()).map(str::to_owned),
        ExitFrom::Body => Some(String::from_utf8_lossy(text).trim().to_owned()),
        ExitFrom::Json(field) => {
            let value: serde_json::Value = serde_json::from_slice(text).ok()?;
            let value = value.get(field)?;
            Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        }
    }
}
