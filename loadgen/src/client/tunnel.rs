//! Carries out the actions that go through a tunnel.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::active_request::{ActiveRequest, LINGER, bounded, pace, send};
use super::checksum::{Transferred, fill, pattern};
use super::connector::Connector;
use super::outcome::{Failure, FailureKind, Outcome, Phase};
use super::response::BufferedStream;
use crate::workload::{Action, ActionKind};

/// Bytes moved at once.
const BLOCK: usize = 16 * 1024;

/// The most of a target's text that is read.
const MOST_TEXT: usize = 4096;

impl<N: Connector> ActiveRequest<'_, N> {
    pub(super) async fn through_tunnel(&mut self, action: &Action, kind: &ActionKind) -> Outcome {
        let mut wire = self.connect().await?;
        let early = match kind {
            ActionKind::Echo { bytes, early: true, .. } => Some(self.block(0, *bytes)),
            _ => None,
        };
        self.open(action, &mut wire, early.as_deref()).await?;
        let _open = self.open_tunnels.enter();
        match kind {
            ActionKind::Connect => {
                self.leave(&mut wire).await;
                Ok(())
            }
            ActionKind::Echo { rounds, bytes, early } => {
                for round in 0..*rounds {
                    let sent = *early && round == 0;
                    self.echo(action, &mut wire, round, *bytes, sent, self.deadline).await?;
                }
                self.finish(&mut wire).await
            }
            ActionKind::Hold { span, every, bytes } => self.hold(action, &mut wire, *span, *every, *bytes).await,
            ActionKind::Upload { bytes } => self.upload(action, &mut wire, *bytes).await,
            ActionKind::Download { bytes, send, wait } => {
                self.download(action, &mut wire, *bytes, (*wait, *send)).await
            }
            ActionKind::Tls { exchange } => {
                let tls = self.handshake(wire).await?;
                let mut wire = BufferedStream::new(tls);
                let (result, _) = self.exchange(action, &mut wire, exchange).await;
                self.leave(&mut wire).await;
                result
            }
            ActionKind::Http { .. }
            | ActionKind::Page { .. }
            | ActionKind::Websocket { .. }
            | ActionKind::Abuse { .. } => {
                unreachable!("plain HTTP needs no tunnel; perform sends it elsewhere")
            }
        }
    }

    /// Sends CONNECT, with `early` right behind it, and reads the reply.
    async fn open(&mut self, action: &Action, wire: &mut BufferedStream<N::Stream>, early: Option<&[u8]>) -> Outcome {
        let target = &self.request.target;
        let mut head =
            format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{}\r\n", self.credentials()).into_bytes();
        if let Some(early) = early {
            head.extend_from_slice(early);
            self.measured.up.add(early);
        }
        bounded(self.deadline, Phase::Reply, send(wire, &head, action.throttle, &mut Transferred::default())).await?;
        let before = Instant::now();
        let reply = bounded(self.deadline, Phase::Reply, wire.head()).await?;
        self.measured.phases.reply = Some(before.elapsed());
        self.measured.answered_by(&reply);
        if (200..300).contains(&reply.status) {
            Ok(())
        } else {
            Err(FailureKind::Status(reply.status).at(Phase::Reply))
        }
    }

    /// Makes the block of a round: bytes that no other request and no other round has.
    pub(super) fn block(&self, round: u32, bytes: usize) -> Vec<u8> {
        let mut block = vec![0; bytes];
        fill((self.request.index << 20) ^ u64::from(round) ^ self.workload.seed, &mut block);
        block
    }

    /// Sends one block (unless it was `sent` already) and reads it back.
    async fn echo<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        action: &Action,
        stream: &mut S,
        round: u32,
        bytes: usize,
        sent: bool,
        deadline: Instant,
    ) -> Outcome {
        let block = self.block(round, bytes);
        let before = Instant::now();
        if !sent {
            bounded(deadline, Phase::Data, send(stream, &block, action.throttle, &mut self.measured.up)).await?;
        }
        let mut back = vec![0; bytes];
        let mut filled = 0;
        while filled < bytes {
            let most = pace(action, bytes - filled).await;
            let got = bounded(deadline, Phase::Data, stream.read(&mut back[filled..filled + most])).await?;
            if got == 0 {
                return Err(FailureKind::Cut.at(Phase::Data));
            }
            self.first_byte(before);
            filled += got;
        }
        self.measured.down.add(&back);
        if back == block { Ok(()) } else { Err(FailureKind::Corrupt.at(Phase::Data)) }
    }

    /// Ends our side. The other side must end its own without sending a further byte.
    pub(super) async fn finish<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> Outcome {
        self.last_byte();
        bounded(self.deadline, Phase::Data, stream.shutdown()).await?;
        match bounded(self.deadline, Phase::Data, stream.read(&mut [0])).await? {
            0 => Ok(()),
            _ => Err(FailureKind::Corrupt.at(Phase::Data)),
        }
    }

    /// Ends our side once the outcome is known. The other side has a moment to end its own.
    async fn leave<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) {
        self.measured.ended.get_or_insert_with(Instant::now);
        let drain = async {
            stream.shutdown().await?;
            while stream.read(&mut [0; 512]).await? > 0 {}
            io::Result::Ok(())
        };
        // Nothing that happens here changes the outcome.
        let _ = timeout(LINGER, drain).await;
    }

    async fn hold<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        action: &Action,
        stream: &mut S,
        span: Duration,
        every: Duration,
        bytes: usize,
    ) -> Outcome {
        let until = Instant::now() + span;
        let patience = self.workload.timeout;
        for round in 0.. {
            self.echo(action, stream, round, bytes, false, Instant::now() + patience).await?;
            let next = (Instant::now() + every).min(until);
            // It reads while it waits, so that it notices at once a tunnel that dies or sends what nobody asked for.
            match timeout_at(next, stream.read(&mut [0])).await {
                Err(_) if next == until => break,
                Err(_) => {}
                Ok(Ok(0)) => return Err(FailureKind::Cut.at(Phase::Data)),
                Ok(Ok(_)) => return Err(FailureKind::Corrupt.at(Phase::Data)),
                Ok(Err(error)) => return Err(FailureKind::of(&error).at(Phase::Data)),
            }
        }
        sleep_until(until).await;
        self.deadline = until + patience;
        self.finish(stream).await
    }

    async fn upload<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        action: &Action,
        stream: &mut S,
        bytes: u64,
    ) -> Outcome {
        self.send_all(action, stream, bytes).await?;
        let before = Instant::now();
        let mut text = Vec::new();
        loop {
            let mut piece = [0; 256];
            let got = bounded(self.deadline, Phase::Data, stream.read(&mut piece)).await?;
            if got == 0 || text.len() > MOST_TEXT {
                break;
            }
            self.first_byte(before);
            text.extend_from_slice(&piece[..got]);
        }
        self.measured.down.add(&text);
        self.last_byte();
        outcome_of_sink(&text, &self.measured.up)
    }

    /// Sends `bytes` bytes and ends our side.
    async fn send_all<S: AsyncWrite + Unpin>(&mut self, action: &Action, stream: &mut S, bytes: u64) -> Outcome {
        let seed = (self.request.index << 20) ^ self.workload.seed;
        let (deadline, sent) = (self.deadline, &mut self.measured.up);
        let mut block = vec![0; BLOCK];
        let sending = async {
            while sent.bytes < bytes {
                let count = (bytes - sent.bytes).min(BLOCK as u64) as usize;
                fill(seed ^ sent.bytes, &mut block[..count]);
                send(stream, &block[..count], action.throttle, sent).await?;
            }
            stream.shutdown().await
        };
        bounded(deadline, Phase::Data, sending).await
    }

    async fn download<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        action: &Action,
        stream: &mut S,
        bytes: u64,
        (wait, answer): (Duration, u64),
    ) -> Outcome {
        let before = Instant::now();
        let mut block = vec![0; BLOCK];
        loop {
            let most = pace(action, BLOCK).await;
            let got = bounded(self.deadline, Phase::Data, stream.read(&mut block[..most])).await?;
            if got == 0 {
                break;
            }
            self.first_byte(before);
            let offset = self.measured.down.bytes;
            self.measured.down.add(&block[..got]);
            if !(offset..).zip(&block[..got]).all(|(at, byte)| *byte == pattern(at)) {
                return Err(FailureKind::Corrupt.at(Phase::Data));
            }
        }
        let mut result = match self.measured.down.bytes {
            got if got < bytes => Err(FailureKind::Cut.at(Phase::Data)),
            got if got > bytes => Err(FailureKind::Corrupt.at(Phase::Data)),
            _ => Ok(()),
        };
        if result.is_ok() && !wait.is_zero() {
            sleep(wait).await;
            self.deadline = Instant::now() + self.workload.timeout;
        }
        if result.is_ok() && answer > 0 {
            result = self.send_all(action, stream, answer).await;
        }
        self.last_byte();
        self.leave(stream).await;
        result
    }
}

fn outcome_of_sink(text: &[u8], sent: &Transferred) -> Result<(), Failure> {
    if text == format!("{sent}\n").as_bytes() {
        return Ok(());
    }
    let kind = if text.last() == Some(&b'\n') { FailureKind::Corrupt } else { FailureKind::Cut };
    Err(kind.at(Phase::Data))
}
