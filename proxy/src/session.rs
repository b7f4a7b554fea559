//! One client connection: heads in, requests routed, until it closes or becomes a tunnel.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::time::{Duration, Instant, timeout, timeout_at};

use crate::admin;
use crate::attempt::Attempts;
use crate::auth;
use crate::config::Authentication;
use crate::dial::{self, Terms};
use crate::env::{Duplex, Early, Env, RelayLimits};
use crate::error::Error;
use crate::forward;
use crate::head::{Framing, HeadError, RequestHead, Version, check_request, parse_request, request_framing};
use crate::life::Place;
use crate::proxy::{Live, Shared};
use crate::request::{Origin, Request, rejected};
use crate::target::{Authority, Route, is_ourselves, route};
use crate::tunnel::{self, Tunnel};
use crate::wire::{Inbox, client_reset};

/// How long, and for how many bytes, a refused client is listened to, so that closing does not reset the connection
/// before it has read why.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// How long a client above the connection limit may take to send its request: the few places there must not be held by
/// the silent.
const RESERVE_PATIENCE: Duration = Duration::from_secs(1);

/// How long a client that has not asked for anything yet may take to do so once the proxy closes.
const JUST_COME: Duration = Duration::from_secs(1);

/// A connection from a client.
pub(crate) struct Session<E: Env> {
    pub(crate) shared: Arc<Shared<E>>,
    pub(crate) stream: E::Stream,
    pub(crate) inbox: Inbox,
    pub(crate) peer: SocketAddr,
    /// Above the connection limit: only our own pages are served, the rest is told to come back.
    pub(crate) overloaded: bool,
    requests: u64,
}

/// What comes behind a request.
pub(crate) enum After<E: Env> {
    /// The next request on this connection.
    Next,
    /// An orderly end.
    Close,
    /// An orderly end that waits for the client to read our answer.
    Linger,
    /// A reset, so that the client does not take a cut answer for a whole one.
    Abort,
    /// The connection belongs to a tunnel now.
    Tunnel(Box<Opened<E>>),
}

/// A tunnel but for the client's stream.
pub(crate) struct Opened<E: Env> {
    pub(crate) leg: crate::leg::Leg<E::Stream>,
    pub(crate) early: Early,
    pub(crate) limits: RelayLimits,
    pub(crate) request: Request<E>,
    pub(crate) lease: crate::pool::Lease<E>,
}

/// Serves one connection to its end, or to where a tunnel takes over in a task of its own: a session's state is
/// kilobytes, a tunnel's some hundred bytes, and there are many idle tunnels.
pub(crate) async fn serve<E: Env>(
    shared: Arc<Shared<E>>,
    stream: E::Stream,
    peer: SocketAddr,
    place: Place,
    overloaded: bool,
) {
    let mut session =
        Session { shared: Arc::clone(&shared), stream, inbox: Inbox::default(), peer, overloaded, requests: 0 };
    let after = tokio::select! {
        biased;
        () = shared.life.reset.wait() => {
            shared.life.count_reset();
            After::Abort
        }
        after = session.run() => after,
    };
    match after {
        After::Next | After::Close => {
            // A client that is gone already needs no goodbye.
            let _ = session.stream.shutdown().await;
        }
        After::Linger => session.linger().await,
        After::Abort => session.stream.abort(),
        After::Tunnel(opened) => {
            let Opened { leg, early, limits, request, lease } = *opened;
            let client = session.stream;
            let tunnel = Tunnel { client, leg, early, limits, request, lease, place };
            let env = shared.env.clone();
            env.spawn(tunnel::run(shared, tunnel));
        }
    }
}

impl<E: Env> Session<E> {
    async fn run(&mut self) -> After<E> {
        loop {
            let live = self.shared.live.load_full();
            let head = match self.next_head(&live).await {
                Ok(Some(head)) => head,
                Ok(None) => return After::Close,
                Err(error) => return self.refuse(&live, None, error).await,
            };
            self.requests += 1;
            // The one in force now: the client may have been silent for long.
            let live = self.shared.live.load_full();
            match self.request(&live, head).await {
                After::Next => {}
                after => return after,
            }
        }
    }

    /// The next head, checked; `None` where the client has no more requests or says nothing for too long.
    async fn next_head(&mut self, live: &Live) -> Result<Option<RequestHead>, Error> {
        let timeouts = &live.config.timeouts;
        let allowed = if self.overloaded { timeouts.header.min(RESERVE_PATIENCE) } else { timeouts.header };
        if self.inbox.is_empty() {
            let patience = if self.requests == 0 { allowed } else { timeouts.keep_alive };
            let closing = self.shared.life.closing.clone();
            let arrived = tokio::select! {
                // A request that has arrived is served, drain or not.
                biased;
                arrived = timeout(patience, self.inbox.fill(&mut self.stream)) => arrived,
                () = closing.wait() => {
                    if self.requests > 0 {
                        return Ok(None);
                    }
                    // It has only just come, and its request may be on the way: an end without a word would be a failure to it.
                    timeout(patience.min(JUST_COME), self.inbox.fill(&mut self.stream)).await
                }
            };
            // Nothing was asked, so nothing is answered: idle clients, pre-connects and port scans end here.
            if !matches!(arrived, Ok(Ok(1..))) {
                return Ok(None);
            }
        }
        let deadline = Instant::now() + allowed;
        loop {
            if let Some(head) = self.inbox.take_head(live.limits).map_err(Error::Head)? {
                let head = parse_request(&head, live.limits).map_err(Error::Head)?;
                check_request(&head).map_err(Error::Head)?;
                return Ok(Some(head));
            }
            match timeout_at(deadline, self.inbox.fill(&mut self.stream)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(_)) => return Err(Error::Head(HeadError::Incomplete)),
                Ok(Err(_)) => return Ok(None),
                Err(_) => return Err(Error::HeaderTimeout),
            }
        }
    }

    async fn request(&mut self, live: &Arc<Live>, head: RequestHead) -> After<E> {
        let framing = match request_framing(&head) {
            Ok(framing) => framing,
            Err(error) => return self.refuse(live, Some(&head), Error::Head(error)).await,
        };
        let route = match route(&head) {
            Ok(route) => route,
            Err(error) => return self.refuse(live, Some(&head), Error::Target(error)).await,
        };
        match route {
            Route::Origin(path) => self.own_page(live, &head, framing, &path).await,
            Route::Asterisk => self.own_page(live, &head, framing, "*").await,
            _ if self.overloaded => self.refuse(live, Some(&head), Error::Overloaded).await,
            Route::Connect(authority) => match self.admit(live, &head, &authority).await {
                Ok(origin) => self.connect(live, &head, authority, origin).await,
                Err(error) => self.refuse(live, Some(&head), error).await,
            },
            Route::Forward { authority, absolute, .. } => match self.admit(live, &head, &authority).await {
                Ok(origin) => forward::forward(self, live, head, framing, (authority, absolute), origin).await,
                Err(error) => self.refuse_forward(live, &head, framing, error).await,
            },
        }
    }

    /// Who asks, if they may and the target is not ourselves.
    async fn admit(&mut self, live: &Live, head: &RequestHead, target: &Authority) -> Result<Origin, Error> {
        let user = match &live.auth {
            None => None,
            Some(authenticator) => {
                let credentials = auth::credentials(&head.fields, "proxy-authorization");
                let checked = match credentials {
                    Ok(value) => authenticator.check(&self.shared.env, value).await,
                    Err(refusal) => Err(refusal),
                };
                Some(checked.map_err(|refusal| Error::Auth(refusal, authenticator.challenge().to_owned()))?)
            }
        };
        if live.has_passed(&head.fields) {
            return Err(Error::Loop);
        }
        if is_ourselves(target, &[self.shared.listen]) {
            return Err(Error::Ourselves);
        }
        Ok(Origin { user, ..self.origin(Some(head)) })
    }

    /// What the log says of a request; numbers it.
    fn origin(&self, head: Option<&RequestHead>) -> Origin {
        let target = head.map_or_else(
            || "-".to_owned(),
            |head| match route(head) {
                Ok(Route::Connect(authority) | Route::Forward { authority, .. }) => authority.to_string(),
                Ok(Route::Origin(_) | Route::Asterisk) | Err(_) => "-".to_owned(),
            },
        );
        Origin {
            request: self.shared.next_request(),
            client: self.peer,
            user: None,
            method: head.map_or_else(|| "-".to_owned(), |head| head.method.to_string()),
            target,
        }
    }

    /// Seeks an upstream that opens a tunnel to `target`.
    async fn connect(&mut self, live: &Live, head: &RequestHead, target: Authority, origin: Origin) -> After<E> {
        let shared = Arc::clone(&self.shared);
        let pool = &shared.pool;
        let mut request = Request::begin(&shared, &origin);
        let mut attempts = Attempts::begin(pool, origin.request, &target);
        let via = live.connect_via(&head.fields);
        let terms = Terms { limits: live.limits, dns: live.config.timeouts.dns, via: via.as_deref() };
        let seeking = async {
            while let Some((lease, allowance)) = attempts.next() {
                match dial::open_tunnel(pool, &shared.env, &lease.upstream, &target, &allowance, terms).await {
                    Ok((leg, surplus)) => return Some((lease, leg, surplus)),
                    Err(failure) => attempts.failed(lease, failure),
                }
            }
            None
        };
        let sought = tokio::select! {
            biased;
            sought = seeking => Ok(sought),
            () = client_reset(&mut self.stream, &mut self.inbox, live.limits.max_bytes) => Err(()),
        };
        match sought {
            Ok(Some((lease, leg, surplus))) => {
                let (lease, record) = attempts.opened(lease);
                request.goes_through(&lease);
                request.succeeded(&lease, record, 200);
                let established = self.stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
                if !matches!(timeout(live.config.timeouts.body, established).await, Ok(Ok(()))) {
                    request.spoiled("client_gone", crate::core::attribution::Blame::Client);
                    return After::Abort;
                }
                let early = Early { to_upstream: self.inbox.take_rest(), to_client: surplus };
                let limits = live.relay_limits();
                After::Tunnel(Box::new(Opened { leg, early, limits, request, lease }))
            }
            Ok(None) => {
                let record = attempts.gave_up();
                let error = Error::GaveUp(record);
                let told = error.tell();
                if let Error::GaveUp(record) = error {
                    request.failed(record, &told);
                }
                // Nothing behind a refused CONNECT is processed: it may be meant for the target (RFC 9931).
                self.answer(&told.response(true, true, shared.env.wall())).await;
                After::Linger
            }
            Err(()) => {
                request.client_failed(attempts.gave_up(), None);
                After::Abort
            }
        }
    }

    /// Answers for ourselves: health and statistics.
    async fn own_page(&mut self, live: &Live, head: &RequestHead, framing: Framing, path: &str) -> After<E> {
        let close = self.overloaded || framing != Framing::None || self.must_close(head);
        let response = admin::respond(&self.shared, live, head, path, self.peer, close).await;
        self.answer(&response).await;
        if close { After::Linger } else { After::Next }
    }

    /// Whether the connection can't go on behind this request, whatever comes of it.
    pub(crate) fn must_close(&self, head: &RequestHead) -> bool {
        // HTTP/1.0 persistence is not to be trusted through proxies (RFC 9112 appendix C.2.2).
        head.version == Version::Http10
            || head.fields.contains_token("connection", "close")
            || head.fields.contains_token("proxy-connection", "close")
            || self.shared.life.is_unready()
    }

    /// Refuses a plain-HTTP request; the connection goes on where nothing of it is left to read.
    async fn refuse_forward(&mut self, live: &Live, head: &RequestHead, framing: Framing, error: Error) -> After<E> {
        if framing != Framing::None || self.must_close(head) || !matches!(error, Error::Auth(..)) {
            return self.refuse(live, Some(head), error).await;
        }
        self.reject(head, &error, false).await;
        After::Next
    }

    /// Refuses a request. Only a 407 to CONNECT may leave the connection open, and only where no byte has followed the
    /// head: such bytes may be the client's tunnel data, sent in the hope of a 2xx (RFC 9931).
    async fn refuse(&mut self, live: &Live, head: Option<&RequestHead>, error: Error) -> After<E> {
        let may_stay = match (&error, head) {
            // Where too many passwords are being checked the answer is no 407.
            (Error::Auth(refusal, _), Some(head)) if refusal.status() == 407 && head.method.is_connect() => {
                let strict = match &live.config.authentication {
                    Authentication::Basic { close_after_refusal, .. } => *close_after_refusal,
                    Authentication::Off => true,
                };
                !strict && !self.must_close(head) && self.is_silent().await
            }
            _ => false,
        };
        match head {
            Some(head) => self.reject(head, &error, !may_stay).await,
            None => {
                let told = error.tell();
                rejected(&self.shared.pool, &self.origin(None), &told);
                self.answer(&told.response(true, true, self.shared.env.wall())).await;
            }
        }
        if may_stay { After::Next } else { After::Linger }
    }

    async fn reject(&mut self, head: &RequestHead, error: &Error, close: bool) {
        let told = error.tell();
        rejected(&self.shared.pool, &self.origin(Some(head)), &told);
        self.answer(&told.response(close, !head.method.is_head(), self.shared.env.wall())).await;
    }

    /// Whether no byte waits behind the head that was read.
    async fn is_silent(&mut self) -> bool {
        if self.inbox.is_empty() {
            // What has arrived is read now; what has not can't be known.
            let _ = std::future::poll_fn(|cx| {
                let _ = self.inbox.poll_fill_head(cx, &mut self.stream);
                std::task::Poll::Ready(())
            })
            .await;
        }
        self.inbox.is_empty()
    }

    /// Writes one of our own responses; a client that does not take it is given up on.
    pub(crate) async fn answer(&mut self, response: &[u8]) {
        let _ = timeout(self.shared.live.load().config.timeouts.body, self.stream.write_all(response)).await;
    }

    /// Ends our side and reads on for a moment: closing with unread bytes would reset the connection and take our
    /// answer with it (RFC 9112 section 9.6).
    async fn linger(&mut self) {
        let lingering = async {
            self.stream.shutdown().await?;
            let mut read = 0;
            while read < LINGER_BYTES {
                self.inbox.bytes.clear();
                match self.inbox.fill(&mut self.stream).await? {
                    0 => break,
                    count => read += count,
                }
            }
            std::io::Result::Ok(())
        };
        let _ = timeout(LINGER, lingering).await;
    }
}

#[cfg(test)]
mod tests;
