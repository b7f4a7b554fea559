//! Carries out the actions that are one HTTP exchange: plain ones in absolute-form, and those inside TLS.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::active_request::{ActiveRequest, KeptConnection, bounded, pace, send};
use super::checksum::{Transferred, fill, pattern};
use super::connector::Connector;
use super::outcome::{Failure, FailureKind, Outcome, Phase};
use super::response::{BodyLength, BodyReader, BufferedStream, ResponseHead};
use crate::workload::{Action, ActionKind, ExitFrom, HttpExchange};

const BLOCK: usize = 16 * 1024;

/// The most bytes of a body in which the name of an exit is looked for.
const MOST_EXIT: usize = 64 * 1024;

impl<N: Connector> ActiveRequest<'_, N> {
    pub(super) async fn plain(
        &mut self,
        action: &Action,
        exchange: &HttpExchange,
        keep_alive: bool,
        kept: KeptConnection<N>,
    ) -> (Outcome, KeptConnection<N>) {
        let authority = self.request.target.strip_suffix(":80").unwrap_or(&self.request.target).to_owned();
        let absolute = format!("http://{authority}");
        self.measured.reused = kept.is_some();
        let mut wire = match kept {
            Some(wire) => wire,
            None => match self.connect().await {
                Ok(wire) => wire,
                Err(failure) => return (Err(failure), None),
            },
        };
        let mut result = self.exchange(action, &mut wire, exchange, &absolute).await;
        // The other side may close a kept connection just as a request goes out (RFC 9112 section 9.3.1).
        let stale = self.measured.reused && self.measured.status.is_none() && exchange.send == 0;
        if let (true, Err(Failure { kind: FailureKind::Cut | FailureKind::Reset, .. })) = (stale, &result) {
            self.measured.reused = false;
            wire = match self.connect().await {
                Ok(wire) => wire,
                Err(failure) => return (Err(failure), None),
            };
            result = self.exchange(action, &mut wire, exchange, &absolute).await;
        }
        match result {
            Ok(again) => (Ok(()), (again && keep_alive).then_some(wire)),
            Err(failure) => (Err(failure), None),
        }
    }

    /// Sends one request and reads its response. Says whether the connection may be used again.
    pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        action: &Action,
        wire: &mut BufferedStream<S>,
        exchange: &HttpExchange,
        origin: &str,
    ) -> Result<bool, Failure> {
        let behind_proxy = !origin.is_empty();
        let head = self.request_head(action, exchange, origin);
        let mut body = vec![0; exchange.send as usize];
        fill(self.request.index ^ self.workload.seed, &mut body);
        let (deadline, up) = (self.deadline, &mut self.measured.up);
        *up = Transferred::default();
        let sending = async {
            send(wire, head.as_bytes(), action.throttle, &mut Transferred::default()).await?;
            send(wire, &body, action.throttle, up).await
        };
        bounded(deadline, if behind_proxy { Phase::Reply } else { Phase::Data }, sending).await?;
        let before = Instant::now();
        let head = bounded(self.deadline, if behind_proxy { Phase::Reply } else { Phase::Data }, wire.head()).await?;
        self.first_byte(before);
        if behind_proxy {
            self.measured.status = Some(head.status);
        }
        self.body(action, wire, exchange, &head).await?;
        self.last_byte();
        let right = match exchange.status {
            Some(status) => status == head.status,
            None => (200..400).contains(&head.status),
        };
        if right { Ok(head.keeps_alive()) } else { Err(FailureKind::Status(head.status).at(Phase::Reply)) }
    }

    fn request_head(&self, action: &Action, exchange: &HttpExchange, origin: &str) -> String {
        let HttpExchange { method, path, send, .. } = exchange;
        let behind_proxy = !origin.is_empty();
        let default_port = if behind_proxy { ":80" } else { ":443" };
        let host = self.request.target.strip_suffix(default_port).unwrap_or(&self.request.target);
        let credentials = if behind_proxy { self.credentials() } else { String::new() };
        let keeps = matches!(action.kind, ActionKind::Http { keep_alive: true, .. });
        let connection = if keeps { "" } else { "Connection: close\r\n" };
        let length = if *send > 0 { format!("Content-Length: {send}\r\n") } else { String::new() };
        format!("{method} {origin}{path} HTTP/1.1\r\nHost: {host}\r\n{credentials}{connection}{length}\r\n")
    }

    async fn body<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        action: &Action,
        wire: &mut BufferedStream<S>,
        exchange: &HttpExchange,
        head: &ResponseHead,
    ) -> Outcome {
        let length = head.length().map_err(|error: io::Error| FailureKind::of(&error).at(Phase::Data))?;
        // Most bodies are small: a whole block for each would cost more than reading it.
        let size = match length {
            BodyLength::Bytes(bytes) => usize::try_from(bytes).unwrap_or(BLOCK).min(BLOCK),
            BodyLength::Chunked | BodyLength::ToEnd => BLOCK,
        };
        let mut body = BodyReader::new(length);
        let exit_from = self.workload.exit_from.as_ref();
        let keeps_text = matches!(exit_from, Some(ExitFrom::Json(_) | ExitFrom::Body));
        let checked = exchange.pattern.filter(|_| (200..300).contains(&head.status));
        let (mut text, mut block) = (Vec::new(), vec![0; size]);
        let (mut down, mut same) = (Transferred::default(), true);
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
            same &= checked.is_none() || (down.bytes..).zip(got).all(|(at, byte)| *byte == pattern(at));
            down.add(got);
            if keeps_text && text.len() < MOST_EXIT {
                text.extend_from_slice(got);
            }
        }
        self.measured.down = down;
        self.measured.exit = exit_from.and_then(|from| exit(from, head, &text));
        // What `/echo` of mock-upstreams answers is what it was sent.
        let echoes = exchange.path == "/echo" && exchange.send > 0 && (200..300).contains(&head.status);
        let same = same && (!echoes || down == self.measured.up);
        if same && checked.is_none_or(|bytes| bytes == down.bytes) {
            Ok(())
        } else {
            Err(FailureKind::Corrupt.at(Phase::Data))
        }
    }
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
