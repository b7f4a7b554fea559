//! Opens the connection of one attempt: to the upstream under one deadline, through it by CONNECT under another.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::time::timeout;

use crate::config::Upstream as UpstreamConfig;
use crate::core::attribution::Failure;
use crate::core::failover::Allowance;
use crate::env::Env;
use crate::http::authority::Authority;
use crate::http::head::{Fields, HeadLimits, Method, RequestHead, ResponseHead, Version, response_framing};
use crate::http::inbox::Inbox;
use crate::http::replies::{Replies, ReplyError};
use crate::upstream::failed::FailedAttempt;
use crate::upstream::leg::Leg;
use crate::upstream::pool::{Pool, Upstream};

/// What every attempt of a request shares.
#[derive(Clone, Copy)]
pub(crate) struct DialSettings<'a> {
    /// The largest reply head taken.
    pub(crate) limits: HeadLimits,
    /// How long resolved addresses are used.
    pub(crate) dns: Duration,
    /// Our `Via` for CONNECT, the client's included; `None` for none.
    pub(crate) via: Option<&'a [u8]>,
}

/// Connects to `upstream`, with TLS where its URL says so.
pub(crate) async fn connect<E: Env>(
    env: &E,
    upstream: &Upstream<E::Stream>,
    allowance: &Allowance,
    settings: DialSettings<'_>,
) -> Result<Leg<E::Stream>, FailedAttempt> {
    let connected = async {
        let addresses = upstream.endpoint.resolve(env, settings.dns).await.map_err(connect_failed)?;
        let stream = upstream.endpoint.connect(env, &addresses, settings.dns).await.map_err(connect_failed)?;
        upstream.wrapper.wrap(stream).await.map_err(|error| FailedAttempt::new(Failure::TlsFailed, error))
    };
    let late = |_| FailedAttempt::timed_out(Failure::ConnectTimeout, "no connection", allowance.connect);
    timeout(allowance.connect, connected).await.map_err(late)?
}

/// Opens a tunnel to `target` through `upstream`. Returns the leg and the bytes that came behind the reply's head.
pub(crate) async fn open_tunnel<E: Env>(
    pool: &Pool<E>,
    env: &E,
    upstream: &Upstream<E::Stream>,
    target: &Authority,
    allowance: &Allowance,
    settings: DialSettings<'_>,
) -> Result<(Leg<E::Stream>, Bytes), FailedAttempt> {
    let mut leg = connect(env, upstream, allowance, settings).await?;
    let asked = async {
        let mut out = BytesMut::with_capacity(512);
        connect_head(&upstream.config, target, settings.via).write_to(&mut out);
        // A refusal may be on its way before all of our head is: read the reply before judging a failed write.
        let written = match leg.write_all(&out).await {
            Ok(()) => leg.flush().await,
            failed => failed,
        };
        let mut inbox = Inbox::default();
        match read_reply(&mut leg, &mut inbox, settings.limits).await {
            Ok(reply) => Ok((reply, inbox.take_rest())),
            Err(error) => match written {
                Err(error) if inbox.is_empty() => Err(FailedAttempt::new(Failure::ResetBeforeHead, error)),
                _ => Err(FailedAttempt::reply(error, settings.limits)),
            },
        }
    };
    let allowed = allowance.reply(pool.now());
    let late = |_| FailedAttempt::timed_out(Failure::ReplyTimeout, "no reply", allowed);
    let (mut reply, surplus) = timeout(allowed, asked).await.map_err(late)??;
    match reply.status {
        // Nothing was asked to be switched.
        101 => Err(FailedAttempt::switched()),
        // A 2xx to CONNECT has no body, whatever its fields say (RFC 9110 section 9.3.6).
        200..=299 => Ok((leg, surplus)),
        // Nobody will read its body, but a head that frames none says nothing that can be trusted.
        status => Err(match response_framing(&mut reply, &Method::connect()) {
            Ok(_) => Failure::Status(status).into(),
            Err(error) => FailedAttempt::malformed(error, settings.limits),
        }),
    }
}

/// Reads a final reply head. Interim ones are about our own CONNECT, and end here: most clients take any of them for a
/// refusal.
async fn read_reply<S: AsyncRead + Unpin>(
    leg: &mut S,
    inbox: &mut Inbox,
    limits: HeadLimits,
) -> Result<ResponseHead, ReplyError> {
    let mut replies = Replies::default();
    loop {
        let head = poll_fn(|cx| replies.poll_next(cx, (leg, inbox), limits)).await?;
        if !head.is_interim() {
            return Ok(head);
        }
    }
}

/// Our CONNECT: Host, the upstream's own credentials and fields, our Via; nothing that the client sent.
fn connect_head(upstream: &UpstreamConfig, target: &Authority, via: Option<&[u8]>) -> RequestHead {
    let target = target.to_string();
    let mut fields = Fields::with_capacity(256, 4);
    fields.push("Host", &target);
    authorize(&mut fields, upstream);
    for (name, value) in &upstream.connect_headers {
        fields.push(name, value.expose());
    }
    if let Some(via) = via {
        fields.push("Via", via);
    }
    RequestHead { method: Method::connect(), target, version: Version::Http11, fields }
}

/// Adds what the upstream knows us by.
pub(crate) fn authorize(fields: &mut Fields, upstream: &UpstreamConfig) {
    if let Some(credentials) = &upstream.credentials {
        let pair = format!("{}:{}", credentials.username, credentials.password.expose());
        fields.push("Proxy-Authorization", format!("Basic {}", STANDARD.encode(pair)));
    }
}

fn connect_failed(error: io::Error) -> FailedAttempt {
    FailedAttempt::new(connect_failure(&error), error)
}

fn connect_failure(error: &io::Error) -> Failure {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, ConnectionReset, OutOfMemory, TimedOut};
    // Linux numbers of what only this side can lack: EMFILE, ENFILE, ENOBUFS.
    const OWN: [i32; 3] = [24, 23, 105];
    match error.kind() {
        AddrNotAvailable | OutOfMemory => Failure::OwnResources,
        _ if error.raw_os_error().is_some_and(|number| OWN.contains(&number)) => Failure::OwnResources,
        ConnectionRefused => Failure::ConnectRefused,
        // It stood, and was reset before we could look: the same as a moment later.
        ConnectionReset => Failure::ResetBeforeHead,
        TimedOut => Failure::ConnectTimeout,
        _ => Failure::ConnectFailed,
    }
}
