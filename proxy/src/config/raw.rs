//! Describes the exact JSON shape of a configuration file.
//!
//! The schema that [`schema`] derives from these types is both what `proxy --schema` prints and what
//! [`super::text::schema`] checks a file against, so the two can't differ. A file that has passed is read into these types,
//! and [`super::parse`] makes the configuration of them.

mod limits;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use super::Secret;
use super::text::schema::schema_of;
use super::text::span::Span;
pub(super) use limits::{Failover, Limits, Timeouts};

/// The JSON Schema of a configuration file.
pub fn schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        let mut schema = schema_of::<Config>();
        RecursiveTransform(bound_spans).transform(&mut schema);
        schema
    });
    &SCHEMA
}

/// Adds bounds to the times of fields that name none: from a millisecond to a year, which is longer than anybody needs.
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
    /// Where and how the proxy listens.
    #[serde(default)]
    pub(super) server: Server,
    /// Who may use the proxy.
    #[serde(default)]
    pub(super) authentication: Authentication,
    /// The proxies that requests go through; at least one must be enabled with a weight above 0.
    // An entry of the wrong type becomes `None`, so that the others keep their index.
    #[schemars(with = "Vec<Upstream>", required)]
    pub(super) upstream_proxies: Option<Vec<Option<Upstream>>>,
    /// In seconds. Sets timeouts.connect and timeouts.reply if those are not given.
    #[schemars(range(min = 1, max = 31_557_600))]
    #[serde(default)]
    pub(super) upstream_timeout: Option<u64>,
    /// When an upstream is ejected and how it is checked.
    #[serde(default)]
    pub(super) health_check: HealthCheck,
    /// How long things may take.
    #[serde(default)]
    pub(super) timeouts: Timeouts,
    /// How many upstreams a request may try, and how many failovers there may be.
    #[serde(default)]
    pub(super) failover: Failover,
    /// Limits of what clients and upstreams can make the proxy keep.
    #[serde(default)]
    pub(super) limits: Limits,
    /// Access to the statistics.
    #[serde(default)]
    pub(super) stats: Stats,
    /// A listener of its own for the proxy's own pages (/healthz, /readyz, /stats, /metrics, /requests, /dashboard). Clients can't reach them then.
    #[serde(default)]
    pub(super) admin: Admin,
    /// How logs are written, to standard error.
    #[serde(default)]
    pub(super) logging: Logging,
    /// Remembers the last events, for `proxy record` and for when something goes wrong. Left out: it is off.
    #[serde(default)]
    pub(super) flight_recorder: Option<FlightRecorder>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Server {
    /// A name for people, which logs and statistics show.
    pub(super) name: String,
    /// Where clients connect: an address and a port. ":3130" means every address, "localhost:3130" 127.0.0.1.
    pub(super) listen_address: String,
    /// The path of the statistics.
    pub(super) stats_endpoint: String,
    /// Host names, besides loopback ones, under which loopback clients read the statistics without credentials.
    #[schemars(with = "Vec<String>")]
    pub(super) stats_hosts: Vec<Option<String>>,
    /// The file to which the process id is written; "" for none. Left out: proxy.pid in the working directory.
    pub(super) pid_file: Option<String>,
    /// The socket at which `proxy reload` and `proxy healthcheck` reach the running proxy; "" for none. Left out: beside the PID file, named like it (proxy.sock).
    pub(super) control_socket: Option<String>,
    /// The pseudonym in Via, or "off" to send none on CONNECT. Left out: a random one per process.
    pub(super) via: Option<String>,
    /// Drain, first phase: /readyz says 503, requests are still served.
    #[schemars(extend("x-minimum" = "0s"))]
    pub(super) drain_delay: Span,
    /// Drain, second phase: how long open tunnels and requests may go on.
    #[schemars(extend("x-minimum" = "0s"))]
    pub(super) drain_timeout: Span,
    /// Allows anyone who reaches the listen address to use the proxy, even if the address is not a loopback one.
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

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Admin {
    /// Where the pages are: an address and a port, as in server.listen_address; "" for none, and then they are where clients connect.
    pub(super) listen_address: String,
    /// Lets anyone who reaches that address read the statistics and the metrics.
    pub(super) open_to_all: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Authentication {
    /// Ask clients for credentials.
    pub(super) enabled: bool,
    /// The protection space named in the challenge.
    pub(super) realm: String,
    /// The users who may use the proxy; at least one if authentication is enabled.
    #[schemars(with = "Vec<User>")]
    pub(super) users: Vec<Option<User>>,
    /// Close the connection after every 407 to CONNECT, and not only if bytes followed the head of the CONNECT.
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
    /// The name; any characters but ":" and control characters.
    #[schemars(required)]
    pub(super) username: Option<String>,
    /// The password, or a bcrypt or argon2 hash of it.
    #[schemars(required)]
    pub(super) password: Option<Secret>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Upstream {
    /// http://[user:password@]host[:port], or https:// to speak TLS to it.
    #[schemars(required)]
    pub(super) url: Option<Secret>,
    /// If false, the upstream is not used.
    #[serde(default = "yes")]
    pub(super) enabled: bool,
    /// Its share of the traffic relative to the other upstreams; with 0 it gets none.
    #[schemars(range(min = 0, max = 10_000))]
    #[serde(default = "one")]
    pub(super) weight: u32,
    /// A word by which statistics and logs can be grouped.
    #[serde(default)]
    pub(super) tag: Option<String>,
    /// A remark for people who read the file.
    #[serde(default)]
    pub(super) note: Option<String>,
    /// How the certificate of an https:// upstream is verified.
    #[serde(default)]
    pub(super) tls: Option<Tls>,
    /// Fields that are added to every CONNECT that is sent to it.
    #[serde(default)]
    pub(super) connect_headers: BTreeMap<String, Secret>,
    /// Opens connections to it before a CONNECT asks for one, so that a tunnel takes one round trip to it less, and two or three less with TLS. Left out: none.
    #[serde(default)]
    pub(super) warm_connections: Option<WarmConnections>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WarmConnections {
    /// The most that are open, or opening, at a time. How many there are follows from the rate of tunnels and the time that a connection takes.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) max: usize,
    /// How old they get: less than the upstream waits for the head of a first request.
    #[schemars(extend("x-minimum" = "100ms"))]
    pub(super) max_age: Span,
}

impl Default for WarmConnections {
    fn default() -> Self {
        WarmConnections { max: 8, max_age: Span::from_secs(5) }
    }
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tls {
    /// A file of PEM certificates, which are trusted instead of the system's.
    pub(super) ca_file: Option<String>,
    /// The name its certificate must carry. Left out: the host of its URL.
    pub(super) server_name: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HealthCheck {
    /// Check every upstream at an interval, in addition to watching the traffic.
    pub(super) enabled: bool,
    /// Seconds from one check of an upstream to the next one.
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
    /// Targets to which each upstream is asked to CONNECT: URLs or host:port.
    #[schemars(with = "Vec<String>")]
    pub(super) endpoints: Vec<Option<String>>,
    /// Use the endpoints in turn, instead of the first one that works.
    pub(super) endpoint_rotation: bool,
    /// The time from an ejection to the first probe. It doubles with every failed probe.
    pub(super) backoff_base: Span,
    /// The longest time between probes.
    pub(super) backoff_max: Span,
    /// Percent of the weight that may be out at once because of failures that targets could have caused.
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

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Stats {
    /// Whether loopback clients, too, need credentials for the statistics.
    pub(super) require_auth: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Logging {
    /// "text" for people or "json", one object a line.
    pub(super) format: LogFormat,
    /// off, error, warn, info, debug, trace, or a filter such as "info,proxy=debug".
    pub(super) level: String,
    /// The file that the log is written to; none for standard error.
    pub(super) file: Option<String>,
    /// The socket of the syslog daemon that the log is written to, such as "/dev/log".
    pub(super) syslog: Option<String>,
    /// Of so many requests that went well one is logged.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) sample_successes: u64,
    /// The line of a request that is over, such as "%{client} %{user} %{method} %{target} %{status}". Left out: as format has it.
    pub(super) access_format: Option<String>,
}

impl Default for Logging {
    fn default() -> Self {
        Logging {
            format: LogFormat::Text,
            level: "info".into(),
            file: None,
            syslog: None,
            sample_successes: 1,
            access_format: None,
        }
    }
}

#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    Text,
    Json,
}

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FlightRecorder {
    /// Bytes for the events, such as "8MB"; from "1MB" to "1GB".
    pub(super) memory: String,
    /// How far back a record goes, as far as the memory does. None is written by itself within this time behind another.
    #[schemars(extend("x-minimum" = "1s", "x-maximum" = "1day"))]
    pub(super) keep: Span,
    /// Where records go that are written by themselves.
    pub(super) directory: Option<String>,
    /// Write a record where an upstream is ejected.
    pub(super) on_ejection: bool,
    /// Write one where so many requests fail by an upstream's fault, or the proxy's own, within ten seconds.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) on_failures: Option<u32>,
}

impl Default for FlightRecorder {
    fn default() -> Self {
        let (directory, on_ejection, on_failures) = (None, false, None);
        FlightRecorder { memory: "8MB".into(), keep: Span::from_secs(5 * 60), directory, on_ejection, on_failures }
    }
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}
