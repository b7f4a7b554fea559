//! One request on one stream, its phases timed.

mod http;
mod tunnel;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::action::{Action, Slow, What};
use crate::checksum::Sum;
use crate::driver::Gauge;
use crate::outcome::{Failure, Kind, Outcome, Phase};
use crate::wire::Wire;
use crate::workload::{Request, Workload};

/// Where streams to the proxy come from. Any `async` closure without arguments is one.
pub trait Net {
    /// What it gives: connected to the proxy.
    type Stream: AsyncRead + AsyncWrite + Unpin;

    /// Connects to the proxy.
    fn connect(&self) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Waits until `at`. The default follows tokio's clock, whose grain is a millisecond.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> {
        tokio::time::sleep_until(at)
    }

    /// TLS settings for targets; without them TLS to a target fails.
    fn tls(&self) -> Option<Arc<rustls::ClientConfig>> {
        None
    }
}

impl<F, Fut, S> Net for F
where
    F: Fn() -> Fut,
    Fut: Future<Output = io::Result<S>>,
    S: AsyncRead + AsyncWrite + Unpin,
{
    type Stream = S;

    fn connect(&self) -> impl Future<Output = io::Result<S>> {
        self()
    }
}

/// How long each phase took; none where it was not reached or does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Connecting to the proxy.
    pub connect: Option<Duration>,
    /// From the CONNECT sent to its reply read.
    pub reply: Option<Duration>,
    /// The TLS handshake with the target.
    pub tls: Option<Duration>,
    /// From the first byte sent to the target to the first byte of its answer.
    pub first_byte: Option<Duration>,
    /// From there to the last byte.
    pub last_byte: Option<Duration>,
}

/// A request that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Which.
    pub request: Request,
    /// When it was due. All times count from the run's begin.
    pub intended: Duration,
    /// When it really began.
    pub started: Duration,
    /// When its outcome was known.
    pub ended: Duration,
    /// Its parts.
    pub phases: Phases,
    /// How it went.
    pub outcome: Outcome,
    /// The status of the reply to CONNECT, or of the response to a plain request.
    pub status: Option<u16>,
    /// Bytes sent to the target: in the tunnel, or of the request's body.
    pub up: Sum,
    /// Bytes from the target: of the tunnel, or of the response's body.
    pub down: Sum,
    /// Through which upstream, where the response said so.
    pub exit: Option<String>,
    /// It went over a connection that earlier requests had used.
    pub reused: bool,
    /// It asked for a tunnel.
    pub tunnel: bool,
}

impl Done {
    /// From when it was due to its outcome: what a user feels, waiting in line included.
    pub fn corrected(&self) -> Duration {
        self.ended.saturating_sub(self.intended)
    }

    /// From when it began to its outcome.
    pub fn uncorrected(&self) -> Duration {
        self.ended.saturating_sub(self.started)
    }
}

/// One request on its way: what is known of it so far, and what it needs.
pub(crate) struct Attempt<'a, N: Net> {
    pub(crate) workload: &'a Workload,
    pub(crate) net: &'a N,
    pub(crate) gauge: &'a Gauge,
    pub(crate) request: Request,
    pub(crate) began: Instant,
    pub(crate) deadline: Instant,
    pub(crate) seen: Seen,
}

/// What is known of a request so far.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) phases: Phases,
    pub(crate) status: Option<u16>,
    pub(crate) up: Sum,
    pub(crate) down: Sum,
    pub(crate) exit: Option<String>,
    pub(crate) reused: bool,
    /// When the outcome was known, where cleaning up took longer.
    pub(crate) ended: Option<Instant>,
}

/// A connection that another request may use.
pub(crate) type Kept<N> = Option<Wire<<N as Net>::Stream>>;

impl<'a, N: Net> Attempt<'a, N> {
    pub(crate) fn new(workload: &'a Workload, net: &'a N, gauge: &'a Gauge, request: Request) -> Self {
        let began = Instant::now();
        let deadline = began + workload.timeout;
        Attempt { workload, net, gauge, request, began, deadline, seen: Seen::default() }
    }

    /// Runs it, on `kept` where there is one. Returns the connection where it may be used again.
    pub(crate) async fn run(&mut self, kept: Kept<N>) -> (Outcome, Kept<N>) {
        let action = self.workload.mix.action(self.request.action);
        match &action.what {
            What::Http { exchange, keep_alive } => self.plain(action, exchange, *keep_alive, kept).await,
            what => (self.through_tunnel(action, what).await, None),
        }
    }

    /// Turns what is known into the record of it; `epoch` is the run's begin.
    pub(crate) fn done(self, outcome: Outcome, intended: Duration, epoch: Instant) -> Done {
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

    async fn connect(&mut self) -> Result<Wire<N::Stream>, Failure> {
        let before = Instant::now();
        let stream = bounded(self.deadline, Phase::Connect, self.net.connect()).await?;
        self.seen.phases.connect = Some(before.elapsed());
        Ok(Wire::new(stream))
    }

    async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
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
    fn credentials(&self) -> String {
        match self.workload.user(&self.request) {
            Some(user) => format!("Proxy-Authorization: Basic {}\r\n", user.basic()),
            None => String::new(),
        }
    }
}

/// `work` within `deadline`.
pub(crate) async fn bounded<T>(
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
pub(crate) async fn send<W: AsyncWrite + Unpin>(
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
pub(crate) async fn pace(action: &Action, most: usize) -> usize {
    match action.slow {
        None => most,
        Some(Slow { bytes, every }) => {
            tokio::time::sleep(every).await;
            bytes.clamp(1, most)
        }
    }
}
