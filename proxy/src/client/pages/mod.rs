//! Answers for the proxy's own pages: /healthz, /readyz, /metrics, /requests, /dashboard and the statistics.
//!
//! They are answered in origin-form only, so that no proxied request can reach them.

mod dashboard;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::BytesMut;
use serde::Serialize;

use crate::authentication;
use crate::client::connection::Entrance;
use crate::client::error::{Answer, RequestError, text_response};
use crate::client::requests;
use crate::client::statistics;
use crate::context::{Context, Settings};
use crate::core::time::Timestamp;
use crate::env::Env;
use crate::event::metrics::{self, Format, Gauges, UpstreamGauges};
use crate::http::authority::{Authority, Host};
use crate::http::head::{Fields, RequestHead};
use crate::upstream::pool::UpstreamReading;

/// The response to `path`.
///
/// # Errors
/// The statistics are not for whoever asks.
pub(crate) async fn respond<E: Env>(
    context: &Context<E>,
    settings: &Settings,
    head: &RequestHead,
    path: &str,
    (peer, entrance): (SocketAddr, Entrance),
    close: bool,
) -> Result<BytesMut, RequestError> {
    let answer = Answer { close, with_body: !head.method.is_head(), wall: context.env.wall() };
    let plain = |status, text: &str| text_response(status, Fields::new(), "text/plain; charset=utf-8", text, answer);
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let requests = path.strip_prefix("/requests").filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let stats = path == settings.config.server.stats_endpoint;
    if path == "*" {
        // OPTIONS of this server as a whole (RFC 9110 section 9.3.7).
        let mut fields = Fields::new();
        fields.push("Allow", "GET, HEAD, OPTIONS, CONNECT");
        return Ok(text_response(200, fields, "text/plain; charset=utf-8", "", answer));
    }
    let elsewhere = entrance == Entrance::Clients && context.admin.is_some();
    if elsewhere || !(stats || requests.is_some() || matches!(path, "/healthz" | "/readyz" | "/metrics" | "/dashboard"))
    {
        let text = "netdrift: no such page; a proxied request names its target in full (http://host/path)\n";
        return Ok(plain(404, text));
    }
    if head.method != *"GET" && !head.method.is_head() {
        let mut fields = Fields::new();
        fields.push("Allow", "GET, HEAD");
        return Ok(text_response(405, fields, "text/plain; charset=utf-8", "netdrift: GET only\n", answer));
    }
    if let Some(rest) = requests {
        admit(context, settings, head, (peer, entrance)).await?;
        return Ok(match remembered(context, rest, query) {
            Ok(body) => text_response(200, Fields::new(), JSON, &body, answer),
            Err((status, text)) => plain(status, text),
        });
    }
    Ok(match path {
        "/healthz" => json(200, &context.health(), answer),
        "/readyz" => {
            let reason = unready(context);
            json(if reason.is_some() { 503 } else { 200 }, &ReadinessPage { ready: reason.is_none(), reason }, answer)
        }
        "/metrics" => {
            admit(context, settings, head, (peer, entrance)).await?;
            let format = Format::accepted(head.fields.get_one("accept").ok().flatten().unwrap_or_default());
            let text = metrics::page(&context.metrics, gauges(context, settings).await, format);
            text_response(200, Fields::new(), format.content_type(), &text, answer)
        }
        "/dashboard" => {
            admit(context, settings, head, (peer, entrance)).await?;
            let page = dashboard::page(&settings.config.server.stats_endpoint);
            text_response(200, dashboard::fields(), dashboard::TYPE, &page, answer)
        }
        _ => {
            admit(context, settings, head, (peer, entrance)).await?;
            let body = statistics::page(context, settings).await;
            text_response(200, Fields::new(), JSON, &body, answer)
        }
    })
}

/// The page of the requests that are remembered, or of the one that `rest` of the path names. Nothing of what was asked is in the
/// refusal.
fn remembered<E: Env>(context: &Context<E>, rest: &str, query: Option<&str>) -> Result<String, (u16, &'static str)> {
    match (rest.strip_prefix('/'), query) {
        (None, None) => Ok(requests::list(context, false)),
        (None, Some("failed")) => Ok(requests::list(context, true)),
        (Some(id), None) => {
            let digits = Some(id).filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()));
            let id = digits
                .and_then(|id| id.parse().ok())
                .ok_or((400, "netdrift: /requests/ID takes a request's number\n"))?;
            requests::story(context, id).ok_or((404, "netdrift: no such request is remembered\n"))
        }
        _ => Err((400, "netdrift: /requests takes no query but ?failed, and /requests/ID takes none\n")),
    }
}

/// Why no request should be sent here, if so.
fn unready<E: Env>(context: &Context<E>) -> Option<&'static str> {
    if context.connections.gives_up_its_addresses() {
        return Some("draining");
    }
    (!context.pool.is_ready()).then_some("no upstream can serve")
}

/// Who may read the statistics and the metrics: a loopback client that asks for a loopback or configured host (a page in a
/// browser on this machine could otherwise be made to ask by a name of its own), or a user; anyone where the admin listener is
/// open to all.
async fn admit<E: Env>(
    context: &Context<E>,
    settings: &Settings,
    head: &RequestHead,
    (peer, entrance): (SocketAddr, Entrance),
) -> Result<(), RequestError> {
    let open = settings.config.admin.as_ref().is_some_and(|admin| admin.open_to_all);
    if entrance == Entrance::Admin && open {
        return Ok(());
    }
    let server = &settings.config.server;
    let local = peer.ip().to_canonical().is_loopback();
    if local && !server.stats_require_auth && is_local_host(&head.fields, &server.stats_hosts) {
        return Ok(());
    }
    let authenticator = settings.auth.as_ref().ok_or(RequestError::StatsForbidden)?;
    let name = if head.fields.contains("authorization") { "authorization" } else { "proxy-authorization" };
    let checked = match authentication::credentials(&head.fields, name) {
        Ok(value) => authenticator.check(&context.env, value).await,
        Err(refusal) => Err(refusal),
    };
    checked.map(drop).map_err(|refusal| RequestError::StatsAuth(refusal, authenticator.challenge().to_owned()))
}

fn is_local_host(fields: &Fields, allowed: &[String]) -> bool {
    let value = match fields.get_one("host") {
        Ok(Some(value)) => value,
        // HTTP/1.0 may leave it out; a browser never does.
        Ok(None) => return true,
        Err(_) => return false,
    };
    let Ok(authority) = Authority::parse_bytes(value, Some(80)) else { return false };
    let host = authority.host;
    let is_loopback = host.ip().is_some_and(|ip| ip.is_loopback());
    // Both are in the one form that `Host` displays.
    is_loopback || host == Host::Name("localhost".to_owned()) || allowed.contains(&host.to_string())
}

const JSON: &str = "application/json";

fn json<T: Serialize>(status: u16, value: &T, answer: Answer) -> BytesMut {
    text_response(status, Fields::new(), JSON, &(statistics::pretty(value) + "\n"), answer)
}

#[derive(Serialize)]
struct ReadinessPage {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// What the metrics say of this moment; the same reading as the statistics'.
async fn gauges<E: Env>(context: &Context<E>, settings: &Settings) -> Gauges {
    let lag = context.pool.schedule_lag().await;
    let stats = context.pool.read();
    let since =
        context.start(stats.now.since(Timestamp::ZERO)).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let upstream = |UpstreamReading { upstream, health, .. }: &UpstreamReading<E::Stream>| {
        let bytes = upstream.figures.bytes();
        UpstreamGauges {
            id: upstream.id,
            name: Arc::clone(&upstream.label.name),
            healthy: health.is_eligible(),
            weight: if upstream.config.enabled { upstream.config.weight.get().into() } else { 0 },
            failures: health.failures().into(),
            schedule_lag: lag.of_each.get(&upstream.id).copied().unwrap_or_default(),
            connections: upstream.leased(),
            idle: upstream.idle_count() as u64,
            bytes_up: bytes.up,
            bytes_down: bytes.down,
        }
    };
    Gauges {
        config_epoch: settings.epoch,
        ready: unready(context).is_none(),
        connections: context.connections.open() as u64,
        connection_limit: context.max_connections as u64,
        current_requests: stats.requests.current,
        log_lines_dropped: context.observer.dropped(),
        schedule_lag_bound: lag.bound,
        started: since.as_secs_f64(),
        process: context.env.process(),
        upstreams: stats.upstreams.iter().map(upstream).collect(),
    }
}
