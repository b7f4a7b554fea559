//! Holds one client's connection: what its requests share, and how it is answered and closed.

use std::borrow::Cow;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::time::{Duration, Instant, timeout, timeout_at};

use crate::client::deadline::Deadline;
use crate::client::request::{Origin, Request};
use crate::context::{Context, Settings};
use crate::core::attribution::Blame;
use crate::env::{Early, Env, RelayLimits};
use crate::http::head::{Method, RequestHead, Version};
use crate::http::inbox::Inbox;
use crate::http::target::{Route, route};
use crate::upstream::failed::told;
use crate::upstream::leg::Leg;
use crate::upstream::pool::Lease;

/// For how long a client that was answered is listened to, so that closing does not reset the connection before it has
/// read the answer: many clients read none before they have sent all of their request. A silent client is given up on
/// after `LINGER_SILENT`, one that sends after as long again as its bytes take at `LINGER_RATE` a second; none is
/// listened to for longer than `LINGER_MOST` or more than `LINGER_BYTES`.
const LINGER_SILENT: Duration = Duration::from_secs(2);
const LINGER_RATE: usize = 64 * 1024;
const LINGER_MOST: Duration = Duration::from_secs(30);
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// The same for a client above the connection limit, however much it sends: it must not hold one of the few slots of the reserve.
const LINGER_OVERLOADED: Duration = Duration::from_secs(1);

/// How the names of protocols begin that ask a server to connect to somebody (RFC 9298 and its kin).
const CONNECT_PREFIX: &[u8] = b"connect-";

/// By which of our listeners a client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// The proxy's.
    Clients,
    /// That of our own pages alone.
    Admin,
}

/// A connection from a client.
pub(crate) struct Connection<E: Env> {
    pub(crate) context: Arc<Context<E>>,
    pub(crate) stream: E::Stream,
    pub(crate) inbox: Inbox,
    pub(crate) peer: SocketAddr,
    pub(crate) entrance: Entrance,
    /// Above the connection limit: only our own pages are served, any other request is told to come back.
    pub(crate) overloaded: bool,
    /// Requests begun on it.
    pub(crate) requests: u64,
    /// When the client must have begun its next request, or something of the present one must have moved.
    pub(crate) deadline: Deadline,
}

/// What the session does after a request.
#[expect(clippy::large_enum_variant, reason = "it lives for a moment, and most requests of a proxy open a tunnel")]
pub(crate) enum NextStep<E: Env> {
    /// It reads the next request on this connection.
    NextRequest,
    /// It ends the connection in order.
    Close,
    /// It ends the connection in order, and waits until the client has had time to read our answer.
    Linger,
    /// It resets the connection, so that the client does not take a cut answer for a whole one.
    Abort,
    /// It hands the connection to a tunnel.
    Tunnel(OpenedTunnel<E>),
}

/// Everything of an open tunnel except the client's stream.
pub(crate) struct OpenedTunnel<E: Env> {
    pub(crate) leg: Leg<E::Stream>,
    pub(crate) early: Early,
    pub(crate) limits: RelayLimits,
    pub(crate) request: Request<E>,
    pub(crate) lease: Lease<E>,
}

impl<E: Env> Connection<E> {
    /// Whether the connection has to close after this request, whatever its outcome.
    pub(crate) fn must_close(&self, head: &RequestHead) -> bool {
        // HTTP/1.0 persistence is not to be trusted through proxies (RFC 9112 appendix C.2.2).
        head.version == Version::Http10
            || head.fields.contains_token("connection", "close")
            || head.fields.contains_token("proxy-connection", "close")
            // They don't pass here: what a client sends ahead in them must not be taken for its next request (RFC 9931).
            || head.fields.list("upgrade").any(|protocol| {
                protocol.get(..CONNECT_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(CONNECT_PREFIX))
            })
            || self.context.connections.is_unready()
    }

    /// Whether the client has said by `head` that this request is its last, and nothing has come behind it: then there is nothing
    /// to listen for.
    pub(crate) fn sends_no_more(&self, head: &RequestHead) -> bool {
        let is_last = match head.version {
            Version::Http10 => !head.fields.contains_token("connection", "keep-alive"),
            Version::Http11 => head.fields.contains_token("connection", "close"),
        };
        is_last && self.inbox.is_empty()
    }

    /// Describes a request for the log, and gives it its number.
    pub(crate) fn origin(
        &self,
        settings: &Settings,
        method: Option<&Method>,
        target: Option<Arc<str>>,
        user: Option<Arc<str>>,
    ) -> Origin {
        Origin {
            request: self.context.next_request(),
            client: self.peer,
            user,
            method: method.map_or(Cow::Borrowed("-"), Method::to_text),
            target: target.unwrap_or_else(|| "-".into()),
            config_epoch: settings.epoch,
        }
    }

    /// As [`Connection::origin`], of a request that is refused.
    pub(crate) fn refused(&self, settings: &Settings, head: &RequestHead) -> Origin {
        let target = match route(head) {
            Ok(Route::Connect(authority) | Route::Forward { authority, .. }) => Some(authority.to_string().into()),
            Ok(Route::Origin(_) | Route::Asterisk) | Err(_) => None,
        };
        self.origin(settings, Some(&head.method), target, None)
    }

    /// Whether the client has sent no byte behind the head that was read.
    pub(crate) async fn is_silent(&mut self) -> bool {
        if self.inbox.is_empty() {
            // Bytes that have arrived are read now; those still on their way can't be known.
            let _ = std::future::poll_fn(|cx| {
                let _ = self.inbox.poll_fill_head(cx, &mut self.stream);
                std::task::Poll::Ready(())
            })
            .await;
        }
        self.inbox.is_empty()
    }

    /// Writes one of our own responses. Gives up if the client does not take it in time.
    pub(crate) async fn answer(&mut self, response: &[u8]) {
        let _ = timeout(self.context.settings.load().config.timeouts.body, self.stream.write_all(response)).await;
    }

    /// Tells the client by `head` that the connection is a tunnel from here on, and makes it one. What either side sent
    /// behind its head goes first: `from_upstream`, and what stands in the inbox.
    pub(crate) async fn become_tunnel(
        &mut self,
        settings: &Settings,
        head: &[u8],
        (leg, from_upstream): (Leg<E::Stream>, Bytes),
        mut request: Request<E>,
        lease: Lease<E>,
    ) -> NextStep<E> {
        let reply = timeout(settings.config.timeouts.body, self.stream.write_all(head)).await;
        let failed = match reply {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(told(error)),
            Err(_) => Some(told("the client did not take the answer in time")),
        };
        if let Some(cause) = failed {
            request.fail_after_verdict("client_gone", Blame::Client, cause);
            return NextStep::Abort;
        }
        let early = Early { to_upstream: self.inbox.take_rest(), to_client: from_upstream };
        let limits = settings.relay_limits();
        NextStep::Tunnel(OpenedTunnel { leg, early, limits, request, lease })
    }

    /// Ends our side and reads on: closing with unread bytes would reset the connection and take our answer with it
    /// (RFC 9112 section 9.6).
    pub(crate) async fn linger(&mut self) {
        let (began, mut read) = (Instant::now(), 0);
        let most = if self.overloaded { LINGER_OVERLOADED } else { LINGER_MOST };
        let ended = timeout(LINGER_SILENT, self.stream.shutdown()).await;
        while let Ok(Ok(())) = ended {
            self.inbox.bytes.clear();
            let earned = Duration::from_secs_f64(read as f64 / LINGER_RATE as f64);
            let until = began + (LINGER_SILENT + earned).min(most);
            let filled = poll_fn(|cx| self.inbox.poll_fill_body(cx, &mut self.stream));
            match timeout_at(until, filled).await {
                Ok(Ok(count @ 1..)) if read + count <= LINGER_BYTES => read += count,
                _ => return,
            }
        }
    }
}
