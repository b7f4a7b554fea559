//! Holds a request in flight: what it needs, what was measured so far, and the steps that all actions share.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::checksum::Transferred;
use super::connector::Connector;
use super::open_tunnels::OpenTunnels;
use super::outcome::{Failure, FailureKind, Outcome, Phase};
use super::record::{PhaseTimes, RequestRecord};
use super::response::{BufferedStream, ResponseHead};
use crate::workload::{Action, Request, Throttle, Workload};

/// How long to wait for the other side's end where the outcome is known already.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// One request in flight.
pub(super) struct ActiveRequest<'a, N: Connector> {
    pub(super) workload: &'a Workload,
    pub(super) connector: &'a N,
    pub(super) open_tunnels: &'a OpenTunnels,
    pub(super) request: Request,
    pub(super) began: Instant,
    pub(super) deadline: Instant,
    pub(super) measured: Measured,
}

/// What was measured of a request so far.
#[derive(Default)]
pub(super) struct Measured {
    pub(super) phases: PhaseTimes,
    pub(super) status: Option<u16>,
    pub(super) proxy_status: bool,
    pub(super) up: Transferred,
    pub(super) down: Transferred,
    pub(super) exit: Option<String>,
    pub(super) reused: bool,
    /// When the outcome was known. None: it is known when the request is over.
    pub(super) ended: Option<Instant>,
}

impl Measured {
    /// That head is the proxy's answer.
    pub(super) fn answered_by(&mut self, head: &ResponseHead) {
        self.status = Some(head.status);
        self.proxy_status = head.field("proxy-status").is_some();
    }
}

/// A connection that the next request may use, where there is one.
pub(crate) type KeptConnection<N> = Option<BufferedStream<<N as Connector>::Stream>>;

impl<'a, N: Connector> ActiveRequest<'a, N> {
    pub(super) fn new(
        workload: &'a Workload,
        connector: &'a N,
        open_tunnels: &'a OpenTunnels,
        request: Request,
    ) -> Self {
        let began = Instant::now();
        let deadline = began + workload.timeout;
        ActiveRequest { workload, connector, open_tunnels, request, began, deadline, measured: Measured::default() }
    }

    /// Turns what was measured into the record of the request; `epoch` is the time from which a run counts.
    pub(super) fn into_record(self, outcome: Outcome, intended: Duration, epoch: Instant) -> RequestRecord {
        let ended = self.measured.ended.unwrap_or_else(Instant::now);
        let Measured { phases, status, proxy_status, up, down, exit, reused, .. } = self.measured;
        let (started, ended) = (self.began - epoch, ended - epoch);
        let tunnel = self.workload.mix.action(self.request.action).is_tunnel();
        RequestRecord {
            request: self.request,
            intended,
            started,
            ended,
            phases,
            outcome,
            status,
            proxy_status,
            up,
            down,
            exit,
            reused,
            tunnel,
        }
    }

    pub(super) fn first_byte(&mut self, since: Instant) {
        self.measured.phases.first_byte.get_or_insert_with(|| since.elapsed());
    }

    /// Gives the last phase the time since the request began that no other phase has.
    pub(super) fn last_byte(&mut self) {
        let now = Instant::now();
        let phases = &mut self.measured.phases;
        if let Some(first) = phases.first_byte {
            let before = [phases.connect, phases.reply, phases.tls, Some(first)];
            let before: Duration = before.into_iter().flatten().sum();
            phases.last_byte = Some((now - self.began).saturating_sub(before));
        }
        self.measured.ended = Some(now);
    }

    pub(super) async fn connect(&mut self) -> Result<BufferedStream<N::Stream>, Failure> {
        let before = Instant::now();
        let stream = bounded(self.deadline, Phase::Connect, self.connector.connect()).await?;
        self.measured.phases.connect = Some(before.elapsed());
        Ok(BufferedStream::new(stream))
    }

    pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: S,
    ) -> Result<tokio_rustls::client::TlsStream<S>, Failure> {
        let host = self.request.target.rsplit_once(':').map_or("", |(host, _)| host);
        let name =
            rustls::pki_types::ServerName::try_from(host.to_owned()).map_err(|_| FailureKind::Tls.at(Phase::Tls))?;
        let config = self.connector.tls().ok_or(FailureKind::Tls.at(Phase::Tls))?;
        let before = Instant::now();
        let shaking = TlsConnector::from(config).connect(name, stream);
        let shaken = timeout_at(self.deadline, shaking).await.map_err(|_| FailureKind::Timeout.at(Phase::Tls))?;
        let stream = shaken.map_err(|error| {
            let of_stream = !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::Other);
            (if of_stream { FailureKind::of(&error) } else { FailureKind::Tls }).at(Phase::Tls)
        })?;
        self.measured.phases.tls = Some(before.elapsed());
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

/// Does `work` until `deadline`; what goes wrong is a failure in `phase`.
pub(super) async fn bounded<T>(
    deadline: Instant,
    phase: Phase,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, Failure> {
    match timeout_at(deadline, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(FailureKind::of(&error).at(phase)),
        Err(_) => Err(FailureKind::Timeout.at(phase)),
    }
}

/// Writes `bytes`, as slowly as `throttle` says. `sent` counts what was taken, also where the rest was not.
pub(super) async fn send<W: AsyncWrite + Unpin>(
    to: &mut W,
    bytes: &[u8],
    throttle: Option<Throttle>,
    sent: &mut Transferred,
) -> io::Result<()> {
    let most = throttle.map_or(usize::MAX, |throttle| throttle.bytes.max(1));
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
        if let Some(Throttle { every, .. }) = throttle {
            to.flush().await?;
            tokio::time::sleep(every).await;
        }
    }
    to.flush().await
}

/// Says how much to read at once, behind a pause where the client is slow.
pub(super) async fn pace(action: &Action, most: usize) -> usize {
    match action.throttle {
        None => most,
        Some(Throttle { bytes, every }) => {
            tokio::time::sleep(every).await;
            bytes.clamp(1, most)
        }
    }
}
