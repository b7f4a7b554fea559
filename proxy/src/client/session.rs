//! Serves the requests of one client connection until it closes or becomes a tunnel.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::time::{Duration, Instant, timeout, timeout_at};

use crate::authentication;
use crate::client::connect::connect;
use crate::client::connection::{Connection, NextStep, OpenedTunnel};
use crate::client::error::RequestError;
use crate::client::forward::forward;
use crate::client::pages;
use crate::client::request::{Origin, rejected};
use crate::client::tunnel::{self, Tunnel};
use crate::config::Authentication;
use crate::context::{ConnectionSlot, Context, Settings};
use crate::env::{Duplex, Env};
use crate::http::authority::Authority;
use crate::http::head::{Framing, HeadError, RequestHead, check_request, parse_request, request_framing};
use crate::http::inbox::Inbox;
use crate::http::target::{Route, is_ourselves, route};

/// How long a client above the connection limit may take to send its request: silent clients must not hold the few
/// slots of the reserve.
const RESERVE_PATIENCE: Duration = Duration::from_secs(1);

/// How long a client that has not asked for anything yet may take to do so once the proxy closes.
const JUST_COME: Duration = Duration::from_secs(1);

/// Serves one connection to its end, or to where a tunnel takes over in a task of its own: a session's state is
/// kilobytes, a tunnel's some hundred bytes, and there are many idle tunnels.
pub(crate) async fn serve<E: Env>(
    context: Arc<Context<E>>,
    stream: E::Stream,
    peer: SocketAddr,
    slot: ConnectionSlot,
    overloaded: bool,
) {
    let mut connection =
        Connection { context: Arc::clone(&context), stream, inbox: Inbox::default(), peer, overloaded, requests: 0 };
    let after = tokio::select! {
        biased;
        () = context.connections.reset.wait() => {
            context.connections.count_reset();
            NextStep::Abort
        }
        after = connection.run() => after,
    };
    match after {
        NextStep::NextRequest | NextStep::Close => {
            // If the client is gone already, there is nobody to tell.
            let _ = connection.stream.shutdown().await;
        }
        NextStep::Linger => connection.linger().await,
        NextStep::Abort => connection.stream.abort(),
        NextStep::Tunnel(opened) => {
            let OpenedTunnel { leg, early, limits, request, lease } = *opened;
            let client = connection.stream;
            let tunnel = Tunnel { client, leg, early, limits, request, lease, slot };
            let env = context.env.clone();
            env.spawn(tunnel::run(context, tunnel));
        }
    }
}

impl<E: Env> Connection<E> {
    async fn run(&mut self) -> NextStep<E> {
        loop {
            let settings = self.context.settings.load_full();
            let head = match self.next_head(&settings).await {
                Ok(Some(head)) => head,
                Ok(None) => return NextStep::Close,
                Err(error) => return self.refuse(&settings, None, error).await,
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

    /// Reads and checks the next head; `None` if the client has no more requests or is silent for too long.
    async fn next_head(&mut self, settings: &Settings) -> Result<Option<RequestHead>, RequestError> {
        let timeouts = &settings.config.timeouts;
        let allowed = if self.overloaded { timeouts.header.min(RESERVE_PATIENCE) } else { timeouts.header };
        if self.inbox.is_empty() {
            let patience = if self.requests == 0 { allowed } else { timeouts.keep_alive };
            let closing = self.context.connections.closing.clone();
            let arrived = tokio::select! {
                // A request that has arrived is served even during a drain.
                biased;
                arrived = timeout(patience, self.inbox.fill(&mut self.stream)) => arrived,
                () = closing.wait() => {
                    if self.requests > 0 {
                        return Ok(None);
                    }
                    // The client has only just connected, and its request may be on the way: closing without an answer would be a
                    // failure to it.
                    timeout(patience.min(JUST_COME), self.inbox.fill(&mut self.stream)).await
                }
            };
            // Without a request there is no answer. Idle clients, pre-connects and port scans end here.
            if !matches!(arrived, Ok(Ok(1..))) {
                return Ok(None);
            }
        }
        let deadline = Instant::now() + allowed;
        loop {
            if let Some(head) = self.inbox.take_head(settings.limits).map_err(RequestError::Head)? {
                let head = parse_request(&head, settings.limits).map_err(RequestError::Head)?;
                check_request(&head).map_err(RequestError::Head)?;
                return Ok(Some(head));
            }
            match timeout_at(deadline, self.inbox.fill(&mut self.stream)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(_)) => return Err(RequestError::Head(HeadError::Incomplete)),
                Ok(Err(_)) => return Ok(None),
                Err(_) => return Err(RequestError::HeaderTimeout),
            }
        }
    }

    async fn request(&mut self, settings: &Arc<Settings>, head: RequestHead) -> NextStep<E> {
        let framing = match request_framing(&head) {
            Ok(framing) => framing,
            Err(error) => return self.refuse(settings, Some(&head), RequestError::Head(error)).await,
        };
        let route = match route(&head) {
            Ok(route) => route,
            Err(error) => return self.refuse(settings, Some(&head), RequestError::Target(error)).await,
        };
        match route {
            Route::Origin(path) => self.own_page(settings, &head, framing, &path).await,
            Route::Asterisk => self.own_page(settings, &head, framing, "*").await,
            _ if self.overloaded => self.refuse(settings, Some(&head), RequestError::Overloaded).await,
            Route::Connect(authority) => match self.admit(settings, &head, &authority).await {
                Ok(origin) => connect(self, settings, &head, authority, origin).await,
                Err(error) => self.refuse(settings, Some(&head), error).await,
            },
            Route::Forward { authority, absolute, .. } => match self.admit(settings, &head, &authority).await {
                Ok(origin) => forward(self, settings, head, framing, (authority, absolute), origin).await,
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
        if is_ourselves(target, &[self.context.listen]) {
            return Err(RequestError::Ourselves);
        }
        Ok(Origin { user, ..self.origin(Some(head)) })
    }

    /// Answers a request for one of our own pages.
    async fn own_page(&mut self, settings: &Settings, head: &RequestHead, framing: Framing, path: &str) -> NextStep<E> {
        let close = self.overloaded || framing != Framing::None || self.must_close(head);
        let response = pages::respond(&self.context, settings, head, path, self.peer, close).await;
        self.answer(&response).await;
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
            return self.refuse(settings, Some(head), error).await;
        }
        self.reject(head, &error, false).await;
        NextStep::NextRequest
    }

    /// Refuses a request. Only a 407 to CONNECT may leave the connection open, and only where no byte has followed the
    /// head: such bytes may be the client's tunnel data, sent in the hope of a 2xx (RFC 9931).
    async fn refuse(&mut self, settings: &Settings, head: Option<&RequestHead>, error: RequestError) -> NextStep<E> {
        let may_stay = match (&error, head) {
            // If too many passwords are being checked, the answer is a 503, not a 407.
            (RequestError::Auth(refusal, _), Some(head)) if refusal.status() == 407 && head.method.is_connect() => {
                let strict = match &settings.config.authentication {
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
                let reply = error.reply();
                rejected(&self.context.pool, &self.origin(None), &reply);
                self.answer(&reply.response(true, true, self.context.env.wall())).await;
            }
        }
        if may_stay { NextStep::NextRequest } else { NextStep::Linger }
    }

    async fn reject(&mut self, head: &RequestHead, error: &RequestError, close: bool) {
        let reply = error.reply();
        rejected(&self.context.pool, &self.origin(Some(head)), &reply);
        self.answer(&reply.response(close, !head.method.is_head(), self.context.env.wall())).await;
    }
}

#[cfg(test)]
mod tests;
