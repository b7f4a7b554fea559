//! Makes the page of statistics.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::config::ByHand;
use crate::context::{Context, Settings};
use crate::core::stats::{Counts, Reading};
use crate::core::time::Timestamp;
use crate::env::Env;
use crate::event::health_events::HealthEvent;
use crate::event::metrics::Errors;
use crate::upstream::pool::{LastFailure, UpstreamReading};

/// Upstreams that are written at a time: with a thousand of them the page takes some milliseconds, and nobody else whom this
/// thread serves should have to wait for it.
const BITE: usize = 16;

/// How an empty list of upstreams looks, into which they are written. No text in the page can look like it, since a
/// quote in one has a backslash before it.
const NONE: &str = "\"upstream_metrics\": []";

/// The statistics as JSON. What is counted, and who is healthy, is of one moment; how long attempts took, and bytes, are
/// read as they are written.
pub(crate) async fn page<E: Env>(context: &Context<E>, settings: &Settings) -> String {
    let reload = context.reload.lock().clone();
    let mut stats = context.pool.read();
    let places: BTreeMap<_, _> = settings.config.upstreams.iter().map(|one| one.key()).zip(0..).collect();
    stats.upstreams.sort_by_cached_key(|one| places.get(&one.upstream.config.key()));
    let window = |name: &str, read: fn(&Reading) -> Counts| Window {
        window: name.to_owned(),
        counts: read(&stats.requests).into(),
        upstream_metrics: [],
        departed: read(&stats.departed).into(),
    };
    let uptime = stats.now.since(Timestamp::ZERO);
    let started = context.start(uptime);
    let frame = StatsPage {
        name: settings.config.server.name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        start_time: rfc3339(started),
        uptime: go_duration(uptime),
        config_epoch: settings.epoch,
        reload_error: reload.error,
        restart_required: reload.restart_required,
        current_requests: stats.requests.current,
        open_connections: context.connections.open(),
        rejected_requests: stats.rejected,
        log_lines_dropped: context.observer.dropped(),
        log_lines_left_out: context.observer.left_out(),
        errors_by_blame: context.metrics.errors().into(),
        health_events: health_events(context, started),
        total: window("total", |reading| reading.total),
        recent_15m: window("15m0s", |reading| reading.recent),
    };
    let mut lists = [String::new(), String::new()];
    for some in stats.upstreams.chunks(BITE) {
        for one in some {
            for (list, out) in lists.iter_mut().zip(upstream_out(one, started, stats.now)) {
                let comma = if list.is_empty() { "" } else { "," };
                *list += &format!("{comma}\n{}", pretty(&out)).replace('\n', "\n      ");
            }
        }
        tokio::task::yield_now().await;
    }
    let mut page = String::with_capacity(lists.iter().map(String::len).sum::<usize>() + 4096);
    let frame = pretty(&frame);
    let mut parts = frame.split(NONE);
    page.extend(parts.next());
    for (list, part) in lists.iter().zip(parts) {
        page += "\"upstream_metrics\": [";
        page += list;
        page += if list.is_empty() { "]" } else { "\n    ]" };
        page += part;
    }
    page.push('\n');
    page
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
    log_lines_left_out: u64,
    errors_by_blame: ErrorsOut,
    /// The newest first.
    health_events: Vec<HealthEventOut>,
    total: Window,
    recent_15m: Window,
}

/// What went wrong since the start, by whose fault it was.
#[derive(Serialize)]
struct ErrorsOut {
    /// Requests that are over, those among them that were refused.
    requests: BTreeMap<&'static str, u64>,
    /// Failed attempts and checks through the upstreams that there are.
    attempts: BTreeMap<&'static str, u64>,
}

impl From<Errors> for ErrorsOut {
    fn from(Errors { requests, attempts }: Errors) -> Self {
        ErrorsOut { requests, attempts }
    }
}

/// A change of an upstream's health; names as in the log.
#[derive(Serialize)]
struct HealthEventOut {
    at: String,
    event: &'static str,
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
}

fn health_events<E: Env>(context: &Context<E>, started: SystemTime) -> Vec<HealthEventOut> {
    let out = |HealthEvent { at, event, upstream, name, cause }| HealthEventOut {
        at: rfc3339(started + at.since(Timestamp::ZERO)),
        event,
        id: upstream.to_string(),
        name,
        cause,
    };
    context.health_events.read().into_iter().map(out).collect()
}

#[derive(Serialize)]
struct Window {
    window: String,
    #[serde(flatten)]
    counts: CountsOut,
    /// Empty: see [`page`].
    upstream_metrics: [UpstreamOut; 0],
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
    /// Where it was set otherwise than the file says.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_hand: Option<ByHandOut>,
    healthy: bool,
    /// Charged since the last success.
    failures: u32,
    /// Until its next probe, while it is ejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    probe_in_ms: Option<u64>,
    /// A probe of it is under way, while it is ejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    probing: Option<bool>,
    /// How often its back-off has grown since it was ejected, while it is: once for each probe that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_probes: Option<u32>,
    /// When it was ejected, while it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    ejected_at: Option<String>,
    /// It is out only until a probe has found whether it or a target was at fault.
    suspected: bool,
    /// The last attempt or check through it that failed, or the last reply or tunnel through it that broke off.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<LastFailureOut>,
    current_connections: u64,
    idle_connections: usize,
    /// Open before a CONNECT asks for one.
    warm_connections: usize,
    bytes_up: u64,
    bytes_down: u64,
    #[serde(flatten)]
    counts: CountsOut,
    latency_p50_ms: f64,
    latency_p90_ms: f64,
    latency_p99_ms: f64,
}

#[derive(Serialize)]
struct ByHandOut {
    /// As it is now: `enabled`, `disabled` or `draining`.
    state: &'static str,
    weight_in_file: u32,
    enabled_in_file: bool,
}

impl ByHandOut {
    /// Of an upstream that is `enabled`.
    fn read(by_hand: ByHand, enabled: bool) -> Self {
        ByHandOut {
            state: match enabled {
                true => "enabled",
                false if by_hand.draining => "draining",
                false => "disabled",
            },
            weight_in_file: by_hand.weight.get(),
            enabled_in_file: by_hand.enabled,
        }
    }
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

/// `value` for people to read.
pub(super) fn pretty<T: Serialize>(value: &T) -> String {
    // These types have no map with odd keys and no failing serializer, the two ways in which this could fail.
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// What is told of one upstream, since the start and of late.
fn upstream_out<S>(one: &UpstreamReading<S>, started: SystemTime, now: Timestamp) -> [UpstreamOut; 2] {
    let UpstreamReading { upstream, counters, health } = one;
    let figures = &upstream.figures;
    let [total, recent] = figures.latency.read(now);
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let windows = [(counters.total, figures.bytes(), total), (counters.recent, figures.recent_bytes(now), recent)];
    windows.map(|(counts, bytes, latency)| UpstreamOut {
        id: upstream.id.to_string(),
        name: upstream.label.name.to_string(),
        url: upstream.label.url.to_string(),
        tag: upstream.config.tag.clone(),
        note: upstream.config.note.clone(),
        weight: upstream.config.weight.get(),
        enabled: upstream.config.enabled,
        by_hand: upstream.config.by_hand.map(|by_hand| ByHandOut::read(by_hand, upstream.config.enabled)),
        healthy: health.is_eligible(),
        failures: health.failures(),
        probe_in_ms: health.ejection().map(|ejection| millis(ejection.until.since(now))),
        probing: health.ejection().map(|ejection| ejection.probing),
        failed_probes: health.ejection().map(|ejection| ejection.round),
        ejected_at: health.ejection().map(|ejection| rfc3339(started + ejection.since.since(Timestamp::ZERO))),
        suspected: health.ejection().is_some_and(|ejection| ejection.suspected),
        last_failure: figures.last_failure().map(|last| LastFailureOut::read(last, started)),
        current_connections: upstream.leased(),
        idle_connections: upstream.idle_count(),
        warm_connections: upstream.warm.as_ref().map_or(0, |warm| warm.len()),
        bytes_up: bytes.up,
        bytes_down: bytes.down,
        counts: counts.into(),
        latency_p50_ms: round(latency.p50),
        latency_p90_ms: round(latency.p90),
        latency_p99_ms: round(latency.p99),
    })
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
    #[test]
    fn milliseconds_are_told_to_the_microsecond() {
        assert_eq!([0.0, 1.0, 0.000_4, 0.001_6, 12.345_6].map(round), [0.0, 1.0, 0.0, 0.002, 12.346]);
    }
}
