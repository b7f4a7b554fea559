//! Describes the exact JSON shape of a configuration file.
//!
//! The schema that [`schema`] derives from these types is both what `proxy --schema` prints and what
//! [`super::text::schema`] checks a file against, so the two can't differ. Once a file has passed, these types hold it;
//! [`super::parse`] gives them their meaning.

use std::collections::BTreeMap;

use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use super::Secret;
use super::text::schema::schema_of;
use super::text::span::Span;

/// The JSON Schema of a configuration file.
pub fn schema() -> Schema {
    let mut schema = schema_of::<Config>();
    RecursiveTransform(bound_spans).transform(&mut schema);
    schema
}

/// Times are above zero, where a field does not say otherwise, and a year is the longest that makes sense.
fn bound_spans(schema: &mut Schema) {
    if let Some(object) = schema.as_object_mut()
        && object.get("format").is_some_and(|format| format == Span::FORMAT)
    {
        object.entry("x-minimum").or_insert("1ms".into());
        object.entry("x-maximum").or_insert(Span::from_secs(31_557_600).to_string().into());
    }
}

/// netdrift proxy configuration
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// The listening side.
    #[serde(default)]
    pub(super) server: Server,
    /// Who may use the proxy.
    #[serde(default)]
    pub(super) authentication: Authentication,
    /// The proxies that requests go through; at least one must be enabled with a weight above 0.
    // An entry of the wrong type becomes `None`, so that the others keep their index.
    #[schemars(with = "Vec<Upstream>", required)]
    pub(super) upstream_proxies: Option<Vec<Option<Upstream>>>,
    /// Seconds; sets timeouts.connect and timeouts.reply where those are not given.
    #[schemars(range(min = 1, max = 31_557_600))]
    #[serde(default)]
    pub(super) upstream_timeout: Option<u64>,
    /// When an upstream is ejected and how it is checked.
    #[serde(default)]
    pub(super) health_check: HealthCheck,
    /// How long things may take.
    #[serde(default)]
    pub(super) timeouts: Timeouts,
    /// How far one request may go in search of an upstream that serves it.
    #[serde(default)]
    pub(super) failover: Failover,
    /// What a peer may make the proxy hold.
    #[serde(default)]
    pub(super) limits: Limits,
    /// Access to the statistics.
    #[serde(default)]
    pub(super) stats: Stats,
    /// How logs are written, to standard error.
    #[serde(default)]
    pub(super) logging: Logging,
}

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Server {
    /// For people: shown in logs and statistics.
    pub(super) name: String,
    /// Where clients connect: an address and a port. ":3130" means every address, "localhost:3130" 127.0.0.1.
    pub(super) listen_address: String,
    /// Path of the statistics.
    pub(super) stats_endpoint: String,
    /// Host names, besides loopback ones, under which loopback clients read the statistics without credentials.
    #[schemars(with = "Vec<String>")]
    pub(super) stats_hosts: Vec<Option<String>>,
    /// Where the process id is written; "" for nowhere. Left out: proxy.pid in the working directory.
    pub(super) pid_file: Option<String>,
    /// Where `proxy reload` and `proxy healthcheck` reach the running proxy; "" for nowhere. Left out: beside the PID file, named like it (proxy.sock).
    pub(super) control_socket: Option<String>,
    /// The pseudonym in Via, or "off" to send none on CONNECT. Left out: a random one per process.
    pub(super) via: Option<String>,
    /// Drain, first phase: /readyz says 503, requests are still served.
    #[schemars(extend("x-minimum" = "0s"))]
    pub(super) drain_delay: Span,
    /// Drain, second phase: how long open tunnels and requests may go on.
    #[schemars(extend("x-minimum" = "0s"))]
    pub(super) drain_timeout: Span,
    /// Says in words that anyone who reaches a non-loopback listen address may use the proxy.
    pub(super) allow_unauthenticated_clients: bool,
}

impl Default for Server {
    fn default() -> Self {
        Server {
            name: "netdrift".into(),
            listen_address: "127.0.0.1:3130".into(),
            stats_endpoint: "/stats".into(),
            stats_hosts: Vec::new(),
            pid_file: None,
            control_socket: None,
            via: None,
            drain_delay: Span::default(),
            drain_timeout: Span::from_secs(30),
            allow_unauthenticated_clients: false,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Authentication {
    /// Ask clients for credentials.
    pub(super) enabled: bool,
    /// The protection space named in the challenge.
    pub(super) realm: String,
    /// Who is let in; at least one where enabled.
    #[schemars(with = "Vec<User>")]
    pub(super) users: Vec<Option<User>>,
    /// Close the connection after every 407 to CONNECT instead of only where bytes followed its head.
    pub(super) close_after_refusal: bool,
}

impl Default for Authentication {
    fn default() -> Self {
        Authentication { enabled: false, realm: "netdrift".into(), users: Vec::new(), close_after_refusal: false }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    /// Any characters but ":" and control characters.
    #[schemars(required)]
    pub(super) username: Option<String>,
    /// Plain, or a bcrypt or argon2 hash.
    #[schemars(required)]
    pub(super) password: Option<Secret>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Upstream {
    /// http://[user:password@]host[:port], or https:// to speak TLS to it.
    #[schemars(required)]
    pub(super) url: Option<Secret>,
    /// false takes it out of the pool.
    #[serde(default = "yes")]
    pub(super) enabled: bool,
    /// Share of the traffic relative to the other upstreams; 0 takes none.
    #[schemars(range(min = 0, max = 10_000))]
    #[serde(default = "one")]
    pub(super) weight: u32,
    /// A word to group by in statistics and logs.
    #[serde(default)]
    pub(super) tag: Option<String>,
    /// A remark for whoever reads the file.
    #[serde(default)]
    pub(super) note: Option<String>,
    /// How an https:// upstream is verified.
    #[serde(default)]
    pub(super) tls: Option<Tls>,
    /// Fields added to every CONNECT sent to it.
    #[serde(default)]
    pub(super) connect_headers: BTreeMap<String, Secret>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tls {
    /// PEM certificates to trust instead of the system's.
    pub(super) ca_file: Option<String>,
    /// The name its certificate must carry. Left out: the host of its URL.
    pub(super) server_name: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HealthCheck {
    /// Check every upstream on an interval, beside what the traffic tells.
    pub(super) enabled: bool,
    /// Seconds from one check of an upstream to its next.
    #[schemars(range(min = 1, max = 31_557_600))]
    pub(super) interval_seconds: u64,
    /// Seconds that a check or a probe waits for each answer.
    #[schemars(range(min = 1, max = 31_557_600))]
    pub(super) timeout_seconds: u64,
    /// Failures in a row that eject an upstream.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) failure_threshold: u32,
    /// Successes that bring an ejected upstream back.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) recovery_threshold: u32,
    /// What is CONNECTed to through each upstream: URLs or host:port.
    #[schemars(with = "Vec<String>")]
    pub(super) endpoints: Vec<Option<String>>,
    /// Take the endpoints in turn instead of the first that works.
    pub(super) endpoint_rotation: bool,
    /// From an ejection to its first probe; doubles with every failed one.
    pub(super) backoff_base: Span,
    /// The longest time between probes.
    pub(super) backoff_max: Span,
    /// Percent of the weight that may be out at once on evidence that can't tell the upstream from its targets.
    #[schemars(range(min = 0, max = 100))]
    pub(super) max_ejection_percent: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        HealthCheck {
            enabled: false,
            interval_seconds: 30,
            timeout_seconds: 10,
            failure_threshold: 3,
            recovery_threshold: 1,
            endpoints: Vec::new(),
            endpoint_rotation: false,
            backoff_base: Span::from_secs(5),
            backoff_max: Span::from_secs(5 * 60),
            max_ejection_percent: 50,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Timeouts {
    /// One upstream: name resolution, TCP and TLS together. Left out: upstream_timeout, else 10s.
    pub(super) connect: Option<Span>,
    /// One upstream: from our CONNECT or request to its whole response head. Left out: upstream_timeout, else 30s.
    pub(super) reply: Option<Span>,
    /// All attempts of a request together.
    pub(super) request: Span,
    /// A client's whole request head.
    pub(super) header: Span,
    /// A kept-alive client connection between requests.
    pub(super) keep_alive: Span,
    /// A plain-HTTP body that moves no byte.
    pub(super) body: Span,
    /// A tunnel that moves no byte.
    pub(super) idle_tunnel: Span,
    /// A tunnel with one direction ended that moves no byte.
    pub(super) half_closed: Span,
    /// An unused kept-alive upstream connection.
    pub(super) pool_idle: Span,
    /// How long a name's addresses are used before it is resolved again.
    pub(super) dns: Span,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: None,
            reply: None,
            request: Span::from_secs(90),
            header: Span::from_secs(10),
            keep_alive: Span::from_secs(60),
            body: Span::from_secs(60),
            idle_tunnel: Span::from_secs(60 * 60),
            half_closed: Span::from_secs(60),
            pool_idle: Span::from_secs(30),
            dns: Span::from_secs(30),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Failover {
    /// Upstreams tried at most for one request.
    #[schemars(range(min = 1, max = 10_000))]
    pub(super) max_attempts: u32,
    /// Failovers of all requests together, for each hundred requests of the last ten seconds.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(super) retry_budget_percent: u32,
    /// Failovers a second that are allowed however few requests there are.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(super) retry_budget_min_per_second: u32,
}

impl Default for Failover {
    fn default() -> Self {
        Failover { max_attempts: 3, retry_budget_percent: 100, retry_budget_min_per_second: 10 }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    /// Bytes of a request or response head.
    #[schemars(range(min = 1024, max = 1_048_576))]
    pub(super) max_header_bytes: usize,
    /// Fields in a head.
    #[schemars(range(min = 8, max = 1000))]
    pub(super) max_header_fields: usize,
    /// Client connections at once. Left out: from the limit of open files.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(super) max_connections: Option<usize>,
    /// Idle kept-alive connections held per upstream.
    #[schemars(range(min = 0, max = 10_000))]
    pub(super) pool_per_upstream: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_header_bytes: 16 * 1024, max_header_fields: 100, max_connections: None, pool_per_upstream: 32 }
    }
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Stats {
    /// Loopback clients need credentials for the statistics as well.
    pub(super) require_auth: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Logging {
    /// "text" for people or "json", one object a line.
    pub(super) format: LogFormat,
    /// off, error, warn, info, debug, trace, or a filter such as "info,proxy=debug".
    pub(super) level: String,
}

impl Default for Logging {
    fn default() -> Self {
        Logging { format: LogFormat::Text, level: "info".into() }
    }
}

#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    Text,
    Json,
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}
