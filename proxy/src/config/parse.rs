//! Turns the bytes of a configuration file into a [`Config`], or into a list of every problem.
//!
//! Three steps: [`json`] reads a tree, [`fit`] compares it with the schema, and the functions here
//! and in `users` and `upstreams` give the fields their meaning. Each section is read whole before the first `?`,
//! so that one bad field doesn't hide the next.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::reading::Reading;
use super::text::interpolate::{Lookup, interpolate};
use super::text::json;
use super::text::problem::Problems;
use super::text::schema::{Dialect, fit, shown};
use super::text::span::Span;
use super::{
    ActiveChecks, Admin, Authentication, Config, Failover, HealthConfig, Limits, ProcessFile, Server, Timeouts, Via,
    logging, raw, upstreams, url, users, warn,
};
use crate::core::failover::RetryBudgetPolicy;
use crate::core::health::HealthPolicy;
use crate::http::head::is_token;

/// Paths of our other pages, so that the statistics can't take them.
const RESERVED_PATHS: [&str; 5] = ["/healthz", "/readyz", "/metrics", "/requests", "/dashboard"];

/// The problem that is noted if the types refuse what the schema derived from them let through. serde's own text could
/// quote a secret.
const UNREADABLE: &str = "fits the schema but can't be read; please report this";

/// Reads a configuration from `bytes`; `file` is only for naming it, `lookup` answers its references.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(file: &str, bytes: &[u8], lookup: &dyn Lookup) -> Result<Config, Problems> {
    let mut reading = Reading { lookup, problems: Problems::in_file(file), warnings: Vec::new(), listen: None };
    match read(bytes, &mut reading) {
        Some(config) if reading.problems.is_empty() => Ok(config),
        _ => Err(reading.problems),
    }
}

/// A configuration may refer to environment variables and to other files (`${env:…}`, `${file:…}`).
struct References<'a>(&'a dyn Lookup);

impl Dialect for References<'_> {
    fn resolve(&self, text: &str) -> Result<String, String> {
        interpolate(text, self.0)
    }
}

fn read(bytes: &[u8], reading: &mut Reading<'_>) -> Option<Config> {
    let mut tree = json::read(bytes, &mut reading.problems)?;
    if !fit(raw::schema(), &References(reading.lookup), &mut tree, &mut reading.problems) {
        return None;
    }
    let raw: raw::Config = reading.good("", serde_json::from_value(tree).map_err(|_| UNREADABLE.to_owned()))?;

    let open_to_all = raw.server.allow_unauthenticated_clients;
    let server = read_server(raw.server, &raw.stats, reading);
    reading.listen = server.as_ref().map(|server| server.listen);
    let admin = read_admin(&raw.admin, reading);
    let authentication = users::read(raw.authentication, reading);
    let upstreams = upstreams::read(raw.upstream_proxies.unwrap_or_default(), reading);
    let timeouts = read_timeouts(&raw.timeouts, raw.upstream_timeout);
    let health = read_health(raw.health_check, reading);
    let logging = logging::read(raw.logging, reading);
    let flight_recorder = logging::flight_recorder::read(raw.flight_recorder, reading);
    let (server, authentication) = (server?, authentication?);
    check_exposure(&server, &authentication, open_to_all, reading);

    let mut config = Config {
        server,
        admin: admin?,
        authentication,
        upstreams,
        timeouts,
        failover: Failover {
            max_attempts: NonZeroU32::new(raw.failover.max_attempts)?,
            retry_budget: RetryBudgetPolicy {
                percent: raw.failover.retry_budget_percent,
                min_per_second: raw.failover.retry_budget_min_per_second,
            },
        },
        health: health?,
        limits: Limits {
            max_header_bytes: raw.limits.max_header_bytes,
            max_header_fields: raw.limits.max_header_fields,
            max_connections: raw.limits.max_connections.and_then(NonZeroUsize::new),
            pool_per_upstream: raw.limits.pool_per_upstream,
            remembered_requests: raw.limits.remembered_requests,
        },
        logging: logging?,
        flight_recorder: flight_recorder?,
        warnings: std::mem::take(&mut reading.warnings),
    };
    let more = warn::warnings(&config);
    config.warnings.extend(more);
    Some(config)
}

/// Refuses a proxy that anyone can reach and use, unless the configuration asks for one explicitly.
fn check_exposure(server: &Server, authentication: &Authentication, allowed: bool, reading: &mut Reading<'_>) {
    let reachable = !server.listen.ip().to_canonical().is_loopback();
    if reachable && *authentication == Authentication::Off && !allowed && !reading.problems.touch("authentication") {
        let what = format!(
            "{} can be reached from outside, but no authentication is enabled; enable it, listen on 127.0.0.1, \
             or set server.allow_unauthenticated_clients to true",
            server.listen
        );
        reading.problems.add("server.listen_address", what);
    }
}

fn read_server(raw: raw::Server, stats: &raw::Stats, reading: &mut Reading<'_>) -> Option<Server> {
    if raw.name.contains(char::is_control) {
        reading.problems.add("server.name", "must not contain control characters");
    }
    let listen = reading.good("server.listen_address", read_listen(&raw.listen_address));
    let stats_endpoint = reading.good("server.stats_endpoint", read_stats_endpoint(raw.stats_endpoint));
    let via = reading.good("server.via", read_via(raw.via));
    let mut stats_hosts = Vec::new();
    for (index, host) in raw.stats_hosts.into_iter().enumerate() {
        let host = host.map(|host| reading.good(&format!("server.stats_hosts[{index}]"), url::host(&host)));
        stats_hosts.extend(host.flatten().map(|host| host.to_string()));
    }
    Some(Server {
        name: raw.name,
        listen: listen?,
        stats_endpoint: stats_endpoint?,
        stats_require_auth: stats.require_auth,
        stats_hosts,
        pid_file: ProcessFile::read(raw.pid_file),
        control_socket: ProcessFile::read(raw.control_socket),
        via: via?,
        drain_delay: raw.drain_delay.get(),
        drain_timeout: raw.drain_timeout.get(),
    })
}

/// Nothing if it can't be read; nothing within it if there is none.
fn read_admin(raw: &raw::Admin, reading: &mut Reading<'_>) -> Option<Option<Admin>> {
    if raw.listen_address.is_empty() {
        return Some(None);
    }
    let listen = reading.good("admin.listen_address", read_listen(&raw.listen_address))?;
    if reading.listen.is_some_and(|clients| overlap(clients, listen)) {
        reading.problems.add("admin.listen_address", "has an address of server.listen_address; choose another port");
        return None;
    }
    Some(Some(Admin { listen, open_to_all: raw.open_to_all }))
}

/// Whether nobody can listen on both. Port 0 is a free one for each.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (this, that) = (one.ip().to_canonical(), other.ip().to_canonical());
    // `::` has the addresses of both families.
    let has = |any: IpAddr, one: IpAddr| any.is_unspecified() && (any.is_ipv6() || one.is_ipv4());
    one.port() == other.port() && one.port() != 0 && (this == that || has(this, that) || has(that, this))
}

fn read_listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let ip = |host: &str| match host {
        "" => Some(IpAddr::from(Ipv6Addr::UNSPECIFIED)),
        "localhost" => Some(IpAddr::from(Ipv4Addr::LOCALHOST)),
        _ => None,
    };
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| digits);
    ip(host).zip(port).map(SocketAddr::from).ok_or_else(|| {
        format!(
            "must be an address and a port, such as \"127.0.0.1:3130\", \"[::1]:3130\" or \":3130\" (got {})",
            shown(text)
        )
    })
}

fn read_stats_endpoint(path: String) -> Result<String, String> {
    if !path.starts_with('/') || !path.chars().all(|c| c.is_ascii_graphic() && !"?#%\\".contains(c)) {
        return Err(format!("must be a path that starts with \"/\", such as \"/stats\" (got {})", shown(&path)));
    }
    // Each of the last requests has a page of its own below theirs.
    if RESERVED_PATHS.contains(&path.as_str()) || path.starts_with("/requests/") {
        return Err(format!("{path} is another page of ours; choose another path"));
    }
    Ok(path)
}

fn read_via(via: Option<String>) -> Result<Via, String> {
    match via {
        None => Ok(Via::Random),
        Some(text) if text == "off" => Ok(Via::Off),
        Some(text) if is_token(text.as_bytes()) => Ok(Via::Pseudonym(text)),
        Some(text) => Err(format!("must be \"off\" or one word of letters, digits and \"-\" (got {})", shown(&text))),
    }
}

fn read_timeouts(raw: &raw::Timeouts, upstream_timeout: Option<u64>) -> Timeouts {
    let both = upstream_timeout.map(Duration::from_secs);
    Timeouts {
        connect: raw.connect.map(Span::get).or(both).unwrap_or(Duration::from_secs(10)),
        reply: raw.reply.map(Span::get).or(both).unwrap_or(Duration::from_secs(30)),
        request: raw.request.get(),
        header: raw.header.get(),
        keep_alive: raw.keep_alive.get(),
        body: raw.body.get(),
        idle_tunnel: raw.idle_tunnel.get(),
        half_closed: raw.half_closed.get(),
        pool_idle: raw.pool_idle.get(),
        pool_idle_unrepeatable: raw.pool_idle_unrepeatable.get(),
        dns: raw.dns.get(),
    }
}

fn read_health(raw: raw::HealthCheck, reading: &mut Reading<'_>) -> Option<HealthConfig> {
    let mut endpoints = Vec::new();
    for (index, text) in raw.endpoints.iter().enumerate() {
        let endpoint = text.as_deref().map(url::endpoint);
        let endpoint = endpoint.map(|read| reading.good(&format!("health_check.endpoints[{index}]"), read));
        endpoints.extend(endpoint.flatten());
    }
    if raw.backoff_base > raw.backoff_max {
        let what = format!("must not be longer than backoff_max, {} (got {})", raw.backoff_max, raw.backoff_base);
        reading.problems.add("health_check.backoff_base", what);
    }
    if raw.enabled && raw.endpoints.is_empty() {
        reading.warnings.push(
            "health_check.endpoints: none given, so nothing is checked and the traffic alone tells who works"
                .to_owned(),
        );
    }
    let active = raw.enabled && !endpoints.is_empty();
    Some(HealthConfig {
        policy: HealthPolicy {
            failure_threshold: NonZeroU32::new(raw.failure_threshold)?,
            recovery_threshold: NonZeroU32::new(raw.recovery_threshold)?,
            backoff_base: raw.backoff_base.get(),
            backoff_max: raw.backoff_max.get(),
            max_ejection_percent: raw.max_ejection_percent,
        },
        timeout: Duration::from_secs(raw.timeout_seconds),
        active: active.then(|| ActiveChecks {
            interval: Duration::from_secs(raw.interval_seconds),
            endpoints,
            rotate: raw.endpoint_rotation,
        }),
    })
}
