//! Serves one CONNECT: finds an upstream that opens the target, and answers the client.

use std::sync::Arc;

use crate::client::connection::{Connection, NextStep};
use crate::client::error::RequestError;
use crate::client::request::{Origin, Request};
use crate::context::Settings;
use crate::core::attribution::Service;
use crate::env::Env;
use crate::http::head::RequestHead;
use crate::http::inbox::client_reset;
use crate::upstream::attempts::Attempts;
use crate::upstream::dial::{self, DialSettings};
use crate::upstream::failed::told;

/// What a client hears once its tunnel is open.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Seeks an upstream that opens a tunnel to the target of `origin`.
pub(crate) async fn connect<E: Env>(
    connection: &mut Connection<E>,
    settings: &Settings,
    head: &RequestHead,
    origin: Origin,
) -> NextStep<E> {
    let context = Arc::clone(&connection.context);
    let pool = &context.pool;
    let target = Arc::clone(&origin.target);
    let now = pool.now();
    let mut attempts = Attempts::begin(pool, origin.request, (Service::Tunnel, Arc::clone(&target)), now);
    let mut request = Request::begin(&context, origin, now);
    let via = settings.via.for_connect(&head.fields, head.version);
    let dial_settings =
        DialSettings { limits: settings.limits, dns: settings.config.timeouts.dns, via: via.as_deref() };
    let seeking = async {
        while let Some((lease, allowance)) = attempts.next() {
            let warm = lease.take_warm().await;
            let dialled = ((&*lease.upstream, &mut attempts.clock), warm);
            match dial::open_tunnel(pool, &context.env, dialled, &target, &allowance, dial_settings).await {
                Ok((leg, surplus)) => return Some((lease, leg, surplus)),
                Err(failed) => attempts.failed(lease, failed),
            }
        }
        None
    };
    let sought = tokio::select! {
        biased;
        sought = seeking => Ok(sought),
        error = client_reset(&mut connection.stream, &mut connection.inbox, settings.limits.max_bytes) => Err(error),
    };
    match sought {
        Ok(Some((lease, leg, surplus))) => {
            let (lease, record) = attempts.opened(lease);
            request.goes_through(&lease, record.opened.unwrap_or_else(|| pool.now()));
            request.succeeded(record, 200);
            connection.become_tunnel(settings, ESTABLISHED, (leg, surplus), request, lease).await
        }
        Ok(None) => {
            let record = attempts.none_opened();
            let error = RequestError::NoUpstreamOpened(record);
            let reply = error.reply();
            if let RequestError::NoUpstreamOpened(record) = error {
                request.failed(record, &reply);
            }
            // Nothing behind a refused CONNECT is processed: it may be meant for the target (RFC 9931).
            connection.answer(&reply.response(true, true, context.env.wall())).await;
            NextStep::Linger
        }
        Err(error) => {
            request.client_failed(attempts.none_opened(), None, Some(told(error)));
            NextStep::Abort
        }
    }
}
