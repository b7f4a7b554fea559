//! The action `abuse`: what no good client does, and whether it is turned away as it has to be.

use std::future::pending;
use std::io::{self, ErrorKind};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::active_request::{ActiveRequest, bounded};
use super::checksum::fill;
use super::connector::Connector;
use super::outcome::{FailureKind, Outcome, Phase};
use super::response::BufferedStream;
use crate::workload::Abuse;

/// What a head without end has at most: more than anybody reads of one.
const LONG: usize = 256 * 1024;

const GARBAGE: usize = 512;

impl<N: Connector> ActiveRequest<'_, N> {
    pub(super) async fn abuse(&mut self, abuse: Abuse) -> Outcome {
        let wire = self.connect().await?;
        let (from, mut to) = tokio::io::split(wire);
        let bytes = self.bad_bytes(abuse);
        let before = Instant::now();
        let turning_away = async {
            tokio::select! {
                biased;
                status = turned_away(from, abuse) => status,
                never = send_and_stay(&mut to, &bytes, abuse) => never,
            }
        };
        self.measured.status = bounded(self.deadline, Phase::Reply, turning_away).await?;
        self.measured.phases.reply = Some(before.elapsed());
        match (abuse.status(), self.measured.status) {
            (expected, seen) if expected == seen => Ok(()),
            (_, Some(seen)) => Err(FailureKind::Status(seen).at(Phase::Reply)),
            (_, None) => Err(FailureKind::Cut.at(Phase::Reply)),
        }
    }

    fn bad_bytes(&self, abuse: Abuse) -> Vec<u8> {
        let head = "GET http://http.mock/ HTTP/1.1\r\nHost: http.mock\r\n";
        match abuse {
            Abuse::Silence => Vec::new(),
            // No id: it is no request that anybody waits for.
            Abuse::HalfBody | Abuse::CutBody => {
                let head = "POST http://sink.mock/ HTTP/1.1\r\nHost: sink.mock\r\nContent-Length: 1000\r\n";
                format!("{head}{}\r\nhalf of it", self.credentials()).into_bytes()
            }
            Abuse::Lingering => format!("{head}{}\r\n", self.credentials()).into_bytes(),
            Abuse::HalfHead | Abuse::CutHead => head.into(),
            Abuse::LongHead => {
                let field = "X-More: and more\r\n";
                (head.to_owned() + &field.repeat(LONG / field.len())).into_bytes()
            }
            Abuse::Garbage => {
                let mut bytes = vec![0; GARBAGE];
                fill(self.request.index ^ self.workload.seed, &mut bytes);
                // No method begins so, and here the head ends.
                bytes[0] = 0xff;
                bytes.extend_from_slice(b"\r\n\r\n");
                bytes
            }
        }
    }
}

/// Sends `bytes` as far as they are taken, and stays, be it to read alone.
async fn send_and_stay<T>(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8], abuse: Abuse) -> T {
    // Who refuses need not take the rest.
    if to.write_all(bytes).await.is_ok() {
        let cuts = matches!(abuse, Abuse::CutHead | Abuse::CutBody);
        let _ = if cuts { to.shutdown().await } else { to.flush().await };
    }
    pending().await
}

/// Reads to the connection's end. Returns the status of the answer that came before it, if one did.
async fn turned_away(from: impl AsyncRead + Unpin, abuse: Abuse) -> io::Result<Option<u16>> {
    let mut from = BufferedStream::new(from);
    let status = match from.any_head().await {
        Ok(head) => Some(head.status),
        Err(error)
            if error.kind() == ErrorKind::UnexpectedEof && abuse.status().is_none() && from.ahead().is_empty() =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    // The answer is there; where bytes of ours were left unread, the end is a reset.
    while from.read(&mut [0; 512]).await.is_ok_and(|count| count > 0) {}
    Ok(status)
}
