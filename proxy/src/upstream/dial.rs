//! Opens the connection of one attempt: to the upstream under one deadline, through it by CONNECT under another.

use std::future::poll_fn;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustls::InvalidMessage;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::core::attribution::Failure;
use crate::core::failover::{Allowance, Limit};
use crate::env::{Env, Lack};
use crate::event::Phase;
use crate::http::authority::Authority;
use crate::http::head::{Fields, HeadLimits, Method, ResponseHead, response_framing};
use crate::http::inbox::Inbox;
use crate::http::replies::{Replies, ReplyError};
use crate::upstream::certificate;
use crate::upstream::clock::PhaseClock;
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

/// Whom an attempt goes to, and the clock that follows it.
pub(crate) type Dialled<'a, E> = (&'a Upstream<<E as Env>::Stream>, &'a mut PhaseClock);

/// Connects to `upstream`, with TLS where its URL says so. `clock` tells how far it came.
pub(crate) async fn connect<E: Env>(
    pool: &Pool<E>,
    env: &E,
    (upstream, clock): Dialled<'_, E>,
    allowance: &Allowance,
    settings: DialSettings<'_>,
) -> Result<Leg<E::Stream>, FailedAttempt> {
    let limit = allowance.connect();
    let lack = OnceLock::new();
    let began = pool.now();
    let first = if upstream.endpoint.is_literal() { Phase::Tcp } else { Phase::Lookup };
    clock.restart(first, began);
    let connected = async {
        let addresses = upstream.endpoint.resolve(env, settings.dns).await.map_err(unresolved)?;
        if first != Phase::Tcp {
            clock.enter(Phase::Tcp, pool.now());
        }
        let stream = upstream.endpoint.connect(env, &addresses, settings.dns, &lack).await.map_err(connect_failed)?;
        if upstream.wrapper.is_tls() {
            clock.enter(Phase::Tls, pool.now());
        }
        upstream.wrapper.wrap(stream).await.map_err(tls_failed)
    };
    let failed = match timeout(limit.span, connected).await {
        Ok(Ok(leg)) => {
            if let Some(warm) = &upstream.warm {
                warm.connected(pool.now().since(began));
            }
            return Ok(leg);
        }
        Ok(Err(failed)) => failed,
        Err(_) => match clock.phase() {
            Some(Phase::Lookup) => FailedAttempt::timed_out(Failure::NameTimeout, "no address", limit.span),
            _ => FailedAttempt::timed_out(limit.failure, "no connection", limit.span),
        },
    };
    // An address that could not be tried may have been the one that works, whatever the others said.
    Err(lack.into_inner().map_or(failed, |error| FailedAttempt::new(Failure::OwnResources, error)))
}

/// Opens a tunnel to `target` (`host:port`) through `upstream`, over `warm` if that is given. Returns the leg and the bytes
/// that came behind the reply's head.
///
/// A warm connection may be closing at this moment, which looks like a refusal of the target. So what fails on it in this way is
/// asked once more, on a connection of its own: until a 2xx nothing is lost by that.
pub(crate) async fn open_tunnel<E: Env>(
    pool: &Pool<E>,
    env: &E,
    ((upstream, clock), warm): (Dialled<'_, E>, Option<Leg<E::Stream>>),
    target: &str,
    allowance: &Allowance,
    settings: DialSettings<'_>,
) -> Result<(Leg<E::Stream>, Bytes), FailedAttempt> {
    let head = connect_head(upstream, target, settings.via);
    let limit = |clock: &mut PhaseClock| {
        let now = pool.now();
        clock.enter(Phase::Reply, now);
        allowance.reply(now)
    };
    if let Some(leg) = warm {
        match ask_for_tunnel(leg, (upstream, &head), limit(clock), settings.limits).await {
            // 408: the upstream has waited too long for a head.
            Err(FailedAttempt {
                failure: Failure::ClosedBeforeHead | Failure::ResetBeforeHead | Failure::Status(408),
                ..
            }) => {}
            done => return done,
        }
    }
    let leg = connect(pool, env, (upstream, clock), allowance, settings).await?;
    ask_for_tunnel(leg, (upstream, &head), limit(clock), settings.limits).await
}

/// Asks `upstream` on `leg` for the tunnel that `head` names, within `limit`.
async fn ask_for_tunnel<S: AsyncRead + AsyncWrite + Unpin>(
    mut leg: Leg<S>,
    (upstream, head): (&Upstream<S>, &[u8]),
    limit: Limit,
    limits: HeadLimits,
) -> Result<(Leg<S>, Bytes), FailedAttempt> {
    let (mut reply, surplus) = ask(&mut leg, head, limit, limits).await?;
    match reply.status {
        // Nothing was asked to be switched.
        101 => Err(FailedAttempt::switched()),
        // A 2xx to CONNECT has no body, whatever its fields say (RFC 9110 section 9.3.6).
        200..=299 => Ok((leg, surplus)),
        // Nobody will read its body, but a head that frames none says nothing that can be trusted.
        status => Err(match response_framing(&mut reply, &Method::connect()) {
            Ok(_) => FailedAttempt::refused(status, &reply.fields, upstream.secrets()),
            Err(error) => FailedAttempt::malformed(error, limits),
        }),
    }
}

/// Asks `upstream` for the head of a page of `target`, on a connection that is closed behind it: what a probe can ask for
/// where there is plain HTTP only. Whatever the target says is fine but for what a gateway says of a target that it can't
/// reach.
pub(crate) async fn ask_for_page<E: Env>(
    pool: &Pool<E>,
    env: &E,
    (upstream, clock): Dialled<'_, E>,
    target: &Authority,
    allowance: &Allowance,
    settings: DialSettings<'_>,
) -> Result<(), FailedAttempt> {
    let mut leg = connect(pool, env, (upstream, clock), allowance, settings).await?;
    let head = page_head(upstream, target, settings.via);
    let now = pool.now();
    clock.enter(Phase::Reply, now);
    let (mut reply, _) = ask(&mut leg, &head, allowance.reply(now), settings.limits).await?;
    let malformed = |error| FailedAttempt::malformed(error, settings.limits);
    match reply.status {
        101 => Err(FailedAttempt::switched()),
        status @ (407 | 502..=504) => Err(Failure::Status(status).into()),
        // As it would be read with its body.
        _ => response_framing(&mut reply, &Method::get()).map(drop).map_err(malformed),
    }
}

/// Sends `head` and reads the reply's head within `limit`. Returns the bytes that came behind it too.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    leg: &mut S,
    head: &[u8],
    limit: Limit,
    limits: HeadLimits,
) -> Result<(ResponseHead, Bytes), FailedAttempt> {
    let asked = async {
        // A refusal may be on its way before all of our head is: read the reply before judging a failed write.
        let written = match leg.write_all(head).await {
            Ok(()) => leg.flush().await,
            failed => failed,
        };
        let mut inbox = Inbox::default();
        match read_reply(leg, &mut inbox, limits).await {
            Ok(reply) => Ok((reply, inbox.take_rest())),
            Err(error) => match written {
                Err(error) if inbox.is_empty() => Err(FailedAttempt::new(Failure::ResetBeforeHead, error)),
                _ => Err(FailedAttempt::reply(error, limits)),
            },
        }
    };
    let late = |_| FailedAttempt::timed_out(limit.failure, "no reply", limit.span);
    timeout(limit.span, asked).await.map_err(late)?
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
fn connect_head<S>(upstream: &Upstream<S>, target: &str, via: Option<&[u8]>) -> BytesMut {
    let start = ["CONNECT ", target, " HTTP/1.1\r\nHost: ", target, "\r\n"];
    own_head(&start, &upstream.connect_fields, via, "\r\n")
}

/// A request of our own for no more than a page's head.
fn page_head<S>(upstream: &Upstream<S>, target: &Authority, via: Option<&[u8]>) -> BytesMut {
    let host = target.in_http();
    let start = ["HEAD http://", &host, "/ HTTP/1.1\r\nHost: ", &host, "\r\n"];
    own_head(&start, &upstream.authorization, via, "Connection: close\r\n\r\n")
}

fn own_head(start: &[&str], fields: &Fields, via: Option<&[u8]>, end: &str) -> BytesMut {
    let mut out = BytesMut::with_capacity(512);
    for part in start {
        out.extend_from_slice(part.as_bytes());
    }
    fields.write_lines_to(&mut out);
    if let Some(via) = via {
        for part in [b"Via: ", via, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(end.as_bytes());
    out
}

fn unresolved(error: io::Error) -> FailedAttempt {
    FailedAttempt::new(Failure::NameUnresolved, error)
}

fn tls_failed(error: io::Error) -> FailedAttempt {
    let of_tls: Option<&rustls::Error> = error.get_ref().and_then(|inner| inner.downcast_ref());
    if let Some(said) = of_tls.and_then(certificate::out_of_date) {
        return FailedAttempt::new(Failure::TlsFailed, said);
    }
    if let Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) = of_tls {
        return FailedAttempt::new(Failure::TlsFailed, format_args!("speaks no TLS on an https:// port: {error}"));
    }
    FailedAttempt::new(Failure::TlsFailed, error)
}

fn connect_failed(error: io::Error) -> FailedAttempt {
    FailedAttempt::new(connect_failure(&error), error)
}

fn connect_failure(error: &io::Error) -> Failure {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, ConnectionReset, TimedOut};
    match error.kind() {
        // No port is left, or no address of the family.
        AddrNotAvailable => Failure::OwnResources,
        _ if Lack::of(error).is_some() => Failure::OwnResources,
        ConnectionRefused => Failure::ConnectRefused,
        // It stood, and was reset before we could look: the same as a moment later.
        ConnectionReset => Failure::ResetBeforeHead,
        TimedOut => Failure::ConnectTimeout,
        _ => Failure::ConnectFailed,
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_this_side_lacks_is_told_from_what_the_upstream_does() {
        use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, ConnectionReset, HostUnreachable, TimedOut};
        for (kind, failure) in [
            (AddrNotAvailable, Failure::OwnResources),
            (ConnectionRefused, Failure::ConnectRefused),
            (ConnectionReset, Failure::ResetBeforeHead),
            (TimedOut, Failure::ConnectTimeout),
            (HostUnreachable, Failure::ConnectFailed),
        ] {
            assert_eq!(connect_failure(&kind.into()), failure, "{kind}");
        }
        for lacking in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS] {
            assert_eq!(connect_failure(&lacking.into()), Failure::OwnResources, "{lacking}");
        }
    }

    /// What comes of asking an upstream that has sent `sent` and takes nothing.
    async fn asked_of_one_that_takes_nothing(sent: &[u8]) -> Failure {
        let (mut ours, mut theirs) = tokio::io::duplex(64);
        theirs.write_all(sent).await.unwrap();
        drop(theirs);
        let limit = Limit { span: Duration::from_secs(1), failure: Failure::ReplyTimeout };
        let limits = HeadLimits { max_bytes: 1024, max_fields: 10 };
        ask(&mut ours, b"CONNECT a.test:80 HTTP/1.1\r\n\r\n", limit, limits)
            .await
            .map_or_else(|failed| failed.failure, |(reply, _)| Failure::Status(reply.status))
    }

    #[tokio::test]
    async fn an_upstream_that_takes_no_head_is_judged_by_what_it_has_said() {
        assert_eq!(asked_of_one_that_takes_nothing(b"").await, Failure::ResetBeforeHead);
        assert_eq!(asked_of_one_that_takes_nothing(b"HTTP/1.1 403 N").await, Failure::MalformedHead);
        assert_eq!(asked_of_one_that_takes_nothing(b"HTTP/1.1 200 OK\r\n\r\n").await, Failure::Status(200));
    }
}
