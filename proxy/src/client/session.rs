//! Serves the requests of one client connection until it closes or becomes a tunnel.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use tokio::time::{Duration, Instant, timeout, timeout_at};

use crate::authentication;
use crate::client::connect::connect;
use crate::client::connection::{Connection, Entrance, NextStep};
use crate::client::deadline::Deadline;
use crate::client::error::RequestError;
use crate::client::forward::forward;
use crate::client::pages;
use crate::client::request::{Origin, rejected};
use crate::client::tunnel::Tunnel;
use crate::config::Authentication;
use crate::context::{ConnectionSlot, Context, Settings};
use crate::env::{Duplex, Env};
use crate::http::authority::Authority;
use crate::http::head::{Framing, Head, HeadError, Kind, RequestHead, asks_by_head, check_request, request_framing};
use crate::http::inbox::Inbox;
use crate::http::target::{Route, is_ourselves, route};

/// How long a client above the connection limit may take to send its request: silent clients must not hold the few
/// slots of the reserve.
const RESERVE_PATIENCE: Duration = Duration::from_secs(1);

/// How long a client that has not asked for anything yet may take to do so once the proxy closes.
const JUST_COME: Duration = Duration::from_secs(1);

/// Serves one connection to its end.
///
/// The session is boxed and gone once a tunnel takes over: its state is kilobytes, a tunnel's some hundred bytes, and there
/// are many idle tunnels. A task for the tunnel would cost more than the box.
pub(crate) async fn serve<E: Env>(
    context: Arc<Context<E>>,
    stream: E::Stream,
    (peer, entrance): (SocketAddr, Entrance),
    slot: ConnectionSlot,
    overloaded: bool,
) {
    let mut tunnel = Box::pin(session(&context, stream, (peer, entrance), overloaded)).await;
    // Where it is, since a future keeps room for whatever is moved in it.
    if let Some(tunnel) = &mut tunnel {
        tunnel.run(&context).await;
    }
    drop(tunnel);
    drop(slot);
}

/// Serves the requests of one connection until it is closed or becomes a tunnel.
async fn session<E: Env>(
    context: &Arc<Context<E>>,
    stream: E::Stream,
    (peer, entrance): (SocketAddr, Entrance),
    overloaded: bool,
) -> Option<Tunnel<E>> {
    let mut connection = Connection {
        context: Arc::clone(context),
        stream,
        inbox: Inbox::default(),
        peer,
        entrance,
        overloaded,
        requests: 0,
        deadline: Deadline::default(),
    };
    let after = tokio::select! {
        biased;
        () = context.connections.reset.wait() => {
            context.connections.count_reset();
            NextStep::Abort
        }
        after = connection.run() => after,
    };
    match after {
        // Dropped, it ends in order.
        NextStep::NextRequest | NextStep::Close => {}
        NextStep::Linger => {
            tokio::select! {
                biased;
                () = context.connections.reset.wait() => {}
                () = connection.linger() => {}
            }
        }
        NextStep::Abort => {
            let patience = context.settings.load().config.timeouts.half_closed;
            tokio::select! {
                biased;
                () = context.connections.reset.wait() => {}
                // What came before the cut is delivered, to whoever takes it.
                _ = timeout(patience, connection.stream.sent()) => {}
            }
            connection.stream.abort();
        }
        NextStep::Tunnel(opened) => return Some(Tunnel::new(context, connection.stream, opened)),
    }
    None
}

impl<E: Env> Connection<E> {
    async fn run(&mut self) -> NextStep<E> {
        loop {
            let settings = self.context.settings.load_full();
            let head = match self.next_head(&settings).await {
                Ok(Some(head)) => head,
                Ok(None) => return NextStep::Close,
                Err((error, with_body)) => return self.refuse_head(&settings, &error, with_body).await,
            };
            self.requests += 1;
            // The settings may have changed while the client was silent.
            let settings = self.context.settings.load_full();
            match self.request(&settings, head).await {
                NextStep::NextRequest => {}
                after => return after,
            }
        }
    }

    /// Reads and checks the next head; `None` if the client has no more requests or is silent for too long. An error
    /// says whether a body may follow its status.
    async fn next_head(&mut self, settings: &Settings) -> Result<Option<RequestHead>, (RequestError, bool)> {
        let timeouts = &settings.config.timeouts;
        let allowed = if self.overloaded { timeouts.header.min(RESERVE_PATIENCE) } else { timeouts.header };
        // The first head is owed from the start, a later one from its first byte on.
        let mut deadline = (self.requests == 0).then(|| Instant::now() + allowed);
        let patience = if self.requests == 0 { allowed } else { timeouts.keep_alive };
        if !self.head_begins(patience).await {
            return Ok(None);
        }
        loop {
            let read = |bytes: Head<'_>| {
                let head = bytes.request(settings.limits).and_then(|head| check_request(&head).map(|()| head));
                head.map_err(|error| (RequestError::Head(error), !asks_by_head(bytes.bytes())))
            };
            match self.inbox.take_head(settings.limits, Kind::Request, read) {
                Ok(Some(head)) => return head.map(Some),
                Ok(None) => self.stream.expect_more(),
                Err(error) => return Err((RequestError::Head(error), !asks_by_head(&self.inbox.bytes))),
            }
            // Most come whole, and need no look at the clock.
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + allowed);
            let error = match timeout_at(deadline, self.inbox.fill(&mut self.stream)).await {
                Ok(Ok(1..)) => continue,
                Ok(Ok(_)) => RequestError::Head(HeadError::Incomplete),
                Ok(Err(_)) => return Ok(None),
                Err(_) => RequestError::HeaderTimeout,
            };
            return Err((error, !asks_by_head(&self.inbox.bytes)));
        }
    }

    /// Whether the client begins another head within `patience`. Where it does not, nothing was asked, and so nothing is
    /// answered: idle clients, pre-connects and port scans end here.
    async fn head_begins(&mut self, patience: Duration) -> bool {
        let closing = self.context.connections.closing.clone();
        let has_only_just_come = self.requests == 0;
        let Connection { inbox, stream, deadline, .. } = self;
        let mut begins = pin!(async {
            // What does not begin one is the empty line that some clients send behind a body (RFC 9112 section 2.2).
            while !inbox.has_begun_head() {
                if !matches!(inbox.fill(stream).await, Ok(1..)) {
                    return false;
                }
            }
            true
        });
        if !has_only_just_come {
            deadline.set(patience);
            return tokio::select! {
                // A request that has arrived is served, drain or not.
                biased;
                begun = begins => begun,
                () = poll_fn(|cx| deadline.poll(cx)) => false,
                () = closing.wait() => false,
            };
        }
        // Most have but one request: they need no timer that can be moved.
        tokio::select! {
            biased;
            begun = timeout(patience, &mut begins) => begun.unwrap_or(false),
            // Its request may be on the way: an end without a word would be a failure to it.
            () = closing.wait() => timeout(patience.min(JUST_COME), begins).await.unwrap_or(false),
        }
    }

    async fn request(&mut self, settings: &Arc<Settings>, head: RequestHead) -> NextStep<E> {
        let framing = match request_framing(&head) {
            Ok(framing) => framing,
            Err(error) => return self.refuse(settings, &head, RequestError::Head(error)).await,
        };
        let route = match route(&head) {
            Ok(route) => route,
            Err(error) => return self.refuse(settings, &head, RequestError::Target(error)).await,
        };
        match route {
            Route::Origin(path) => self.own_page(settings, &head, framing, &path).await,
            Route::Asterisk => self.own_page(settings, &head, framing, "*").await,
            _ if self.entrance == Entrance::Admin => self.refuse(settings, &head, RequestError::PagesOnly).await,
            _ if self.overloaded => self.refuse(settings, &head, RequestError::Overloaded).await,
            Route::Connect(authority) => match self.admit(settings, &head, &authority).await {
                Ok(origin) => connect(self, settings, &head, origin).await,
                Err(error) => self.refuse(settings, &head, error).await,
            },
            Route::Forward { authority, absolute } => match self.admit(settings, &head, &authority).await {
                Ok(origin) => {
                    if framing.is_longer_than(self.inbox.bytes.len()) {
                        self.stream.expect_more();
                    }
                    forward(self, settings, head, framing, (authority, absolute), origin).await
                }
                Err(error) => self.refuse_forward(settings, &head, framing, error).await,
            },
        }
    }

    /// Finds out who asks, and refuses those who may not and targets that are this proxy.
    async fn admit(
        &mut self,
        settings: &Settings,
        head: &RequestHead,
        target: &Authority,
    ) -> Result<Origin, RequestError> {
        let user = match &settings.auth {
            None => None,
            Some(authenticator) => {
                let credentials = authentication::credentials(&head.fields, "proxy-authorization");
                let checked = match credentials {
                    Ok(value) => authenticator.check(&self.context.env, value).await,
                    Err(refusal) => Err(refusal),
                };
                Some(checked.map_err(|refusal| RequestError::Auth(refusal, authenticator.challenge().to_owned()))?)
            }
        };
        if settings.via.has_passed(&head.fields) {
            return Err(RequestError::Loop);
        }
        if is_ourselves(target, self.context.addresses()) {
            return Err(RequestError::Ourselves);
        }
        let text = target.to_shared(if head.method.is_connect() { &head.target } else { "" });
        Ok(self.origin(settings, Some(&head.method), Some(text), user))
    }

    /// Answers a request for one of our own pages.
    async fn own_page(&mut self, settings: &Settings, head: &RequestHead, framing: Framing, path: &str) -> NextStep<E> {
        let close = self.overloaded || framing != Framing::None || self.must_close(head);
        match pages::respond(&self.context, settings, head, path, (self.peer, self.entrance), close).await {
            Ok(response) => self.answer(&response).await,
            Err(error) => self.reject(settings, head, &error, close).await,
        }
        if close { NextStep::Linger } else { NextStep::NextRequest }
    }

    /// Refuses a plain-HTTP request; the connection goes on where nothing of it is left to read.
    async fn refuse_forward(
        &mut self,
        settings: &Settings,
        head: &RequestHead,
        framing: Framing,
        error: RequestError,
    ) -> NextStep<E> {
        if framing != Framing::None || self.must_close(head) || !matches!(error, RequestError::Auth(..)) {
            return self.refuse(settings, head, error).await;
        }
        self.reject(settings, head, &error, false).await;
        NextStep::NextRequest
    }

    /// Refuses a request whose head can't be read.
    async fn refuse_head(&mut self, settings: &Settings, error: &RequestError, with_body: bool) -> NextStep<E> {
        let told = error.reply();
        rejected(&self.context.pool, self.origin(settings, None, None, None), &told);
        self.answer(&told.response(true, with_body, self.context.env.wall())).await;
        NextStep::Linger
    }

    /// Refuses a request. Only a 407 to CONNECT may leave the connection open, and only where no byte has followed the
    /// head: such bytes may be the client's tunnel data, sent in the hope of a 2xx (RFC 9931).
    async fn refuse(&mut self, settings: &Settings, head: &RequestHead, error: RequestError) -> NextStep<E> {
        let may_stay = match &error {
            // If too many passwords are being checked, the answer is a 503, not a 407.
            RequestError::Auth(refusal, _) if refusal.status() == 407 && head.method.is_connect() => {
                let strict = match &settings.config.authentication {
                    Authentication::Basic { close_after_refusal, .. } => *close_after_refusal,
                    Authentication::Off => true,
                };
                !strict && !self.must_close(head) && self.is_silent().await
            }
            _ => false,
        };
        self.reject(settings, head, &error, !may_stay).await;
        if may_stay { NextStep::NextRequest } else { NextStep::Linger }
    }

    async fn reject(&mut self, settings: &Settings, head: &RequestHead, error: &RequestError, close: bool) {
        let reply = error.reply();
        rejected(&self.context.pool, self.refused(settings, head), &reply);
        self.answer(&reply.response(close, !head.method.is_head(), self.context.env.wall())).await;
    }
}

#[cfg(test)]
mod tests;
