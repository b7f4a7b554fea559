//! A request on its way: what it needs, what was measured so far, and the steps that all actions share.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::checksum::Sum;
use super::connector::Net;
use super::open_tunnels::Gauge;
use super::outcome::{Failure, Kind, Outcome, Phase};
use super::record::{Done, Phases};
use super::wire::Wire;
use crate::workload::{Action, Request, Slow, Workload};

/// One request on its way: what is known of it so far, and what it needs.
pub(super) struct Attempt<'a, N: Net> {
    pub(super) workload: &'a Workload,
    pub(super) net: &'a N,
    pub(super) gauge: &'a Gauge,
    pub(super) request: Request,
    pub(super) began: Instant,
    pub(super) deadline: Instant,
    pub(super) seen: Seen,
}

/// What is known of a request so far.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) phases: Phases,
    pub(super) status: Option<u16>,
    pub(super) up: Sum,
    pub(super) down: Sum,
    pub(super) exit: Option<String>,
    pub(super) reused: bool,
    /// When the outcome was known, where cleaning up took longer.
    pub(super) ended: Option<Instant>,
}

/// A connection that another request may use.
pub(crate) type Kept<N> = Option<Wire<<N as Net>::Stream>>;

impl<'a, N: Net> Attempt<'a, N> {
    pub(super) fn new(workload: &'a Workload, net: &'a N, gauge: &'a Gauge, request: Request) -> Self {
        let began = Instant::now();
        let deadline = began + workload.timeout;
        Attempt { workload, net, gauge, request, began, deadline, seen: Seen::default() }
    }

    /// Turns what is known into the record of it; `epoch` is the run's begin.
    pub(super) fn done(self, outcome: Outcome, intended: Duration, epoch: Instant) -> Done {
        let ended = self.seen.ended.unwrap_or_else(Instant::now);
        let Seen { phases, status, up, down, exit, reused, .. } = self.seen;
        let (started, ended) = (self.began - epoch, ended - epoch);
        let tunnel = self.workload.mix.action(self.request.action).is_tunnel();
        Done {
            request: self.request,
            intended,
            started,
            ended,
            phases,
            outcome,
            status,
            up,
            down,
            exit,
            reused,
            tunnel,
        }
    }

    pub(super) fn first_byte(&mut self, since: Instant) {
        self.seen.phases.first_byte.get_or_insert_with(|| since.elapsed());
    }

    /// The rest of the time since the request began that no other phase has.
    pub(super) fn last_byte(&mut self) {
        let now = Instant::now();
        let phases = &mut self.seen.phases;
        if let Some(first) = phases.first_byte {
            let before = [phases.connect, phases.reply, phases.tls, Some(first)];
            let before: Duration = before.into_iter().flatten().sum();
            phases.last_byte = Some((now - self.began).saturating_sub(before));
        }
        self.seen.ended = Some(now);
    }

    pub(super) async fn connect(&mut self) -> Result<Wire<N::Stream>, Failure> {
        let before = Instant::now();
        let stream = bounded(self.deadline, Phase::Connect, self.net.connect()).await?;
        self.seen.phases.connect = Some(before.elapsed());
        Ok(Wire::new(stream))
    }

    pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: S,
    ) -> Result<tokio_rustls::client::TlsStream<S>, Failure> {
        let host = self.request.target.rsplit_once(':').map_or("", |(host, _)| host);
        let name = rustls::pki_types::ServerName::try_from(host.to_owned()).map_err(|_| Kind::Tls.at(Phase::Tls))?;
        let config = self.net.tls().ok_or(Kind::Tls.at(Phase::Tls))?;
        let before = Instant::now();
        let shaking = TlsConnector::from(config).connect(name, stream);
        let shaken = timeout_at(self.deadline, shaking).await.map_err(|_| Kind::Timeout.at(Phase::Tls))?;
        let stream = shaken.map_err(|error| {
            let of_stream = !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::Other);
            (if of_stream { Kind::of(&error) } else { Kind::Tls }).at(Phase::Tls)
        })?;
        self.seen.phases.tls = Some(before.elapsed());
        Ok(stream)
    }

    /// `Proxy-Authorization`, as a line.
    pub(super) fn credentials(&self) -> String {
        match self.workload.user(&self.request) {
            Some(user) => format!("Proxy-Authorization: Basic {}\r\n", user.basic()),
            None => String::new(),
        }
    }
}

/// `work` within `deadline`.
pub(super) async fn bounded<T>(
    deadline: Instant,
    phase: Phase,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, Failure> {
    match timeout_at(deadline, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Kind::of(&error).at(phase)),
        Err(_) => Err(Kind::Timeout.at(phase)),
    }
}

/// Writes `bytes`, as slowly as `slow` says. `sent` counts what was taken, also where the rest was not.
pub(super) async fn send<W: AsyncWrite + Unpin>(
    to: &mut W,
    bytes: &[u8],
    slow: Option<Slow>,
    sent: &mut Sum,
) -> io::Result<()> {
    let most = slow.map_or(usize::MAX, |slow| slow.bytes.max(1));
    for piece in bytes.chunks(most.min(bytes.len().max(1))) {
        let mut rest = piece;
        while !rest.is_empty() {
            let count = to.write(rest).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            sent.add(&rest[..count]);
            rest = &rest[count..];
        }
        if let Some(Slow { every, .. }) = slow {
            to.flush().await?;
            tokio::time::sleep(every).await;
        }
    }
    to.flush().await
}

/// How much to read at once, behind a pause where the client is slow.
pub(super) async fn pace(action: &Action, most: usize) -> usize {
    match action.slow {
        None => most,
        Some(Slow { bytes, every }) => {
            tokio::time::sleep(every).await;
            bytes.clamp(1, most)
        }
    }
}
