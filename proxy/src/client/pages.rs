//! Answers for the proxy's own pages: /healthz, /readyz, /metrics and the statistics.
//!
//! They are answered in origin-form only, so that no proxied request can reach them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use serde::Serialize;

use crate::authentication;
use crate::client::connection::Entrance;
use crate::client::error::{Answer, RequestError, text_response};
use crate::context::{Context, Settings};
use crate::core::health::UpstreamHealth;
use crate::core::stats::{Counts, Reading};
use crate::core::time::Timestamp;
use crate::env::Env;
use crate::http::authority::{Authority, Host};
use crate::http::head::{Fields, RequestHead};
use crate::metrics::{self, Format, Gauges, UpstreamGauges};
use crate::upstream::pool::{Bytes, LastFailure, Percentiles, Upstream};

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
    let path = path.split('?').next().unwrap_or_default();
    let stats = path == settings.config.server.stats_endpoint;
    if path == "*" {
        // OPTIONS of this server as a whole (RFC 9110 section 9.3.7).
        let mut fields = Fields::new();
        fields.push("Allow", "GET, HEAD, OPTIONS, CONNECT");
        return Ok(text_response(200, fields, "text/plain; charset=utf-8", "", answer));
    }
    let elsewhere = entrance == Entrance::Clients && context.admin.is_some();
    if elsewhere || !(stats || matches!(path, "/healthz" | "/readyz" | "/metrics")) {
        let text = "netdrift: no such page; a proxied request names its target in full (http://host/path)\n";
        return Ok(plain(404, text));
    }
    if head.method != *"GET" && !head.method.is_head() {
        let mut fields = Fields::new();
        fields.push("Allow", "GET, HEAD");
        return Ok(text_response(405, fields, "text/plain; charset=utf-8", "netdrift: GET only\n", answer));
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
            let text = metrics::page(&context.metrics, gauges(context, settings), format);
            text_response(200, Fields::new(), format.content_type(), &text, answer)
        }
        _ => {
            admit(context, settings, head, (peer, entrance)).await?;
            json(200, &StatsPage::read(context, settings), answer)
        }
    })
}

/// Why no request should be sent here, if so.
fn unready<E: Env>(context: &Context<E>) -> Option<&'static str> {
    if context.connections.is_unready() {
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

fn json<T: Serialize>(status: u16, value: &T, answer: Answer) -> BytesMut {
    // These types have no map with odd keys and no failing serializer, the two ways in which this could fail.
    let mut body = serde_json::to_string_pretty(value).unwrap_or_default();
    body.push('\n');
    text_response(status, Fields::new(), "application/json", &body, answer)
}

#[derive(Serialize)]
struct ReadinessPage {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// The statistics; names as users of this page know them.
#[derive(Serialize)]
struct StatsPage {
    name: String,
    version: &'static str,
    start_time: String,
    uptime: String,
    config_epoch: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reload_error: Option<String>,
    restart_required: Vec<String>,
    current_requests: u64,
    open_connections: usize,
    rejected_requests: u64,
    log_lines_dropped: u64,
    total: Window,
    recent_15m: Window,
}

#[derive(Serialize)]
struct Window {
    window: String,
    #[serde(flatten)]
    counts: CountsOut,
    upstream_metrics: Vec<UpstreamOut>,
    /// Attempts through upstreams that a reload has removed.
    departed: CountsOut,
}

#[derive(Serialize)]
struct CountsOut {
    total_requests: u64,
    success_requests: u64,
    failed_requests: u64,
    avg_latency_ms: f64,
    max_concurrency: u64,
}

impl From<Counts> for CountsOut {
    fn from(counts: Counts) -> Self {
        CountsOut {
            total_requests: counts.total(),
            success_requests: counts.success,
            failed_requests: counts.failed,
            avg_latency_ms: round(counts.mean_latency().as_secs_f64() * 1000.0),
            max_concurrency: counts.max_concurrency,
        }
    }
}

#[derive(Serialize)]
struct UpstreamOut {
    /// As in the log; kept over reloads.
    id: String,
    /// As in the log; no other upstream's.
    name: String,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    weight: u32,
    enabled: bool,
    healthy: bool,
    /// Charged since the last success.
    failures: u32,
    /// Until its next probe, while it is ejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    probe_in_ms: Option<u64>,
    /// The last attempt or check through it that failed, or the last reply or tunnel through it that broke off.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<LastFailureOut>,
    current_connections: u64,
    idle_connections: usize,
    bytes_up: u64,
    bytes_down: u64,
    #[serde(flatten)]
    counts: CountsOut,
    latency_p50_ms: f64,
    latency_p90_ms: f64,
    latency_p99_ms: f64,
}

#[derive(Serialize)]
struct LastFailureOut {
    failure: &'static str,
    /// In the system's or a library's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    at: String,
}

impl LastFailureOut {
    /// Of a proxy that `started` then.
    fn read(LastFailure { failure, cause, at }: LastFailure, started: SystemTime) -> Self {
        LastFailureOut {
            failure,
            cause: cause.map(|cause| cause.to_string()),
            at: rfc3339(started + at.since(Timestamp::ZERO)),
        }
    }
}

impl StatsPage {
    fn read<E: Env>(context: &Context<E>, settings: &Settings) -> Self {
        let reload = context.reload.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let stats = context.pool.read();
        let snapshot = context.pool.snapshot();
        let places: BTreeMap<_, _> = settings.config.upstreams.iter().map(|one| one.key()).zip(0..).collect();
        let mut upstreams: Vec<_> = snapshot.upstreams.iter().collect();
        upstreams.sort_by_cached_key(|upstream| places.get(&upstream.config.key()));
        let window = |name: &str, recent: bool| {
            let read = |reading: &Reading| if recent { reading.recent } else { reading.total };
            let upstream_metrics = (upstreams.iter())
                .map(|upstream| {
                    let reading = stats.upstreams.get(&upstream.id).copied().unwrap_or_default();
                    upstream_out(context, upstream, (read(&reading.counters), reading.health), recent, stats.now)
                })
                .collect();
            Window {
                window: name.to_owned(),
                counts: read(&stats.requests).into(),
                upstream_metrics,
                departed: read(&stats.departed).into(),
            }
        };
        StatsPage {
            name: settings.config.server.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            start_time: rfc3339(context.started),
            uptime: go_duration(stats.now.since(Timestamp::ZERO)),
            config_epoch: settings.epoch,
            reload_error: reload.error,
            restart_required: reload.restart_required,
            current_requests: stats.requests.current,
            open_connections: context.connections.open(),
            rejected_requests: stats.rejected,
            log_lines_dropped: context.observer.dropped(),
            total: window("total", false),
            recent_15m: window("15m0s", true),
        }
    }
}

/// What the metrics say of this moment; the same reading as the statistics'.
fn gauges<E: Env>(context: &Context<E>, settings: &Settings) -> Gauges {
    let stats = context.pool.read();
    let snapshot = context.pool.snapshot();
    let since = context.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let upstream = |upstream: &Arc<Upstream<E::Stream>>| {
        let health = stats.upstreams.get(&upstream.id).map(|one| one.health).unwrap_or_default();
        let bytes = upstream.figures.bytes();
        UpstreamGauges {
            id: upstream.id,
            name: Arc::clone(&upstream.label.name),
            healthy: health.is_eligible(),
            weight: if upstream.config.enabled { upstream.config.weight.get().into() } else { 0 },
            failures: health.failures().into(),
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
        started: since.as_secs_f64(),
        process: context.env.process(),
        upstreams: snapshot.upstreams.iter().map(upstream).collect(),
    }
}

fn upstream_out<E: Env>(
    context: &Context<E>,
    upstream: &Upstream<E::Stream>,
    (counts, health): (Counts, UpstreamHealth),
    recent: bool,
    now: Timestamp,
) -> UpstreamOut {
    let figures = &upstream.figures;
    let Percentiles { p50, p90, p99 } = {
        let latency = figures.latency.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if recent { latency.recent(now.since(Timestamp::ZERO)) } else { latency.total() }
    };
    let bytes: Bytes = if recent { figures.recent_bytes(now) } else { figures.bytes() };
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    UpstreamOut {
        id: upstream.id.to_string(),
        name: upstream.label.name.to_string(),
        url: upstream.label.url.to_string(),
        tag: upstream.config.tag.clone(),
        note: upstream.config.note.clone(),
        weight: upstream.config.weight.get(),
        enabled: upstream.config.enabled,
        healthy: health.is_eligible(),
        failures: health.failures(),
        probe_in_ms: health.ejection().map(|ejection| millis(ejection.until.since(now))),
        last_failure: figures.last_failure().map(|last| LastFailureOut::read(last, context.started)),
        current_connections: upstream.leased(),
        idle_connections: upstream.idle_count(),
        bytes_up: bytes.up,
        bytes_down: bytes.down,
        counts: counts.into(),
        latency_p50_ms: round(p50),
        latency_p90_ms: round(p90),
        latency_p99_ms: round(p99),
    }
}

fn round(milliseconds: f64) -> f64 {
    (milliseconds * 1000.0).round() / 1000.0
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// `1h30m45s`, as the statistics have always said it.
fn go_duration(span: Duration) -> String {
    let seconds = span.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_reads_as_hours_minutes_seconds() {
        let text = |seconds| go_duration(Duration::from_secs(seconds));
        assert_eq!(
            [text(0), text(59), text(60), text(5445), text(360_000)],
            ["0s", "59s", "1m0s", "1h30m45s", "100h0m0s"]
        );
    }
}
