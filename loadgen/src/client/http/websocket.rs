//! The action `websocket` (RFC 6455): an upgrade in absolute-form, echoed frames, and the closing handshake.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::Instant;

use crate::client::active_request::{ActiveRequest, bounded, pace, send};
use crate::client::checksum::{Transferred, fill};
use crate::client::connector::Connector;
use crate::client::outcome::{FailureKind, Outcome, Phase};
use crate::client::response::{BufferedStream, ResponseHead};
use crate::workload::Action;

/// A whole frame of bytes.
const BINARY: u8 = 0x82;
/// A whole frame that closes.
const CLOSE: u8 = 0x88;
/// What a close frame says: a normal end.
const NORMAL: [u8; 2] = 1000_u16.to_be_bytes();

impl<N: Connector> ActiveRequest<'_, N> {
    pub(in crate::client) async fn websocket(&mut self, action: &Action, rounds: u32, bytes: usize) -> Outcome {
        let mut wire = self.connect().await?;
        self.upgrade(action, &mut wire).await?;
        let before = Instant::now();
        for round in 0..rounds {
            let payload = self.block(round, bytes);
            self.frame(action, &mut wire, BINARY, &payload, before).await?;
        }
        self.frame(action, &mut wire, CLOSE, &NORMAL, before).await?;
        self.finish(&mut wire).await
    }

    async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        action: &Action,
        wire: &mut BufferedStream<S>,
    ) -> Outcome {
        let mut key = [0; 16];
        fill(self.request.index ^ self.workload.seed, &mut key);
        let key = STANDARD.encode(key);
        let host = self.request.target.strip_suffix(":80").unwrap_or(&self.request.target);
        let head = format!(
            "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n{}Connection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n",
            self.credentials()
        );
        let mut of_head = Transferred::default();
        let sending = send(wire, head.as_bytes(), action.throttle, &mut of_head);
        bounded(self.deadline, Phase::Reply, sending).await?;
        let before = Instant::now();
        let head = loop {
            let head = bounded(self.deadline, Phase::Reply, wire.any_head()).await?;
            if head.status == 101 || head.status >= 200 {
                break head;
            }
        };
        self.measured.phases.reply = Some(before.elapsed());
        self.measured.status = Some(head.status);
        match head.status {
            101 if switches(&head, &key) => Ok(()),
            101 => Err(FailureKind::Malformed.at(Phase::Reply)),
            status => Err(FailureKind::Status(status).at(Phase::Reply)),
        }
    }

    /// Sends one frame, masked as a client has to, and reads it back unmasked.
    async fn frame<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        action: &Action,
        wire: &mut S,
        first: u8,
        payload: &[u8],
        before: Instant,
    ) -> Outcome {
        let mut mask = [0; 4];
        fill(self.request.index ^ self.measured.up.bytes, &mut mask);
        let mut frame = header(first, payload.len(), 0x80);
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        bounded(self.deadline, Phase::Data, send(wire, &frame, action.throttle, &mut self.measured.up)).await?;
        let expected = [header(first, payload.len(), 0).as_slice(), payload].concat();
        let mut back = vec![0; expected.len()];
        let mut filled = 0;
        while filled < back.len() {
            let most = pace(action, back.len() - filled).await;
            let got = bounded(self.deadline, Phase::Data, wire.read(&mut back[filled..filled + most])).await?;
            if got == 0 {
                return Err(FailureKind::Cut.at(Phase::Data));
            }
            self.first_byte(before);
            self.measured.down.add(&back[filled..filled + got]);
            filled += got;
        }
        if back == expected { Ok(()) } else { Err(FailureKind::Corrupt.at(Phase::Data)) }
    }
}

/// The first bytes of a frame: what it is, and its length in the shortest form (RFC 6455 section 5.2).
fn header(first: u8, length: usize, masked: u8) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        0..=125 => header.push(masked | length as u8),
        126..=0xffff => {
            header.push(masked | 126);
            header.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            header.push(masked | 127);
            header.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    header
}

/// Whether a 101 changes to what was asked for, by somebody who has read the key (RFC 6455 section 4.1).
fn switches(head: &ResponseHead, key: &str) -> bool {
    let says = |name, word: &str| {
        let value = head.field(name).unwrap_or_default();
        value.split(',').any(|one| one.trim().eq_ignore_ascii_case(word))
    };
    says("upgrade", "websocket")
        && says("connection", "upgrade")
        && head.field("sec-websocket-accept") == Some(accept(key).as_str())
}

/// What proves that `key` was read (RFC 6455 section 1.3).
fn accept(key: &str) -> String {
    const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
    STANDARD.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_the_one_of_the_standard() {
        // RFC 6455 section 1.3.
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_length_has_its_shortest_form() {
        assert_eq!(header(BINARY, 125, 0x80), [0x82, 0xfd]);
        assert_eq!(header(BINARY, 126, 0), [0x82, 126, 0, 126]);
        assert_eq!(header(BINARY, 65_536, 0), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
