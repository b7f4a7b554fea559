//! Holds the validated configuration, in types that can't hold one that can't be run.
//!
//! The exact JSON shape is in `raw`; [`parse`] turns it into these types and reports every problem at once.

mod diff;
mod load;
mod logging;
mod parse;
mod raw;
mod reading;
mod secret;
#[cfg(test)]
mod tests;
pub mod text;
mod upstreams;
mod url;
mod users;
mod warn;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::core::failover::{FailoverPolicy, RetryBudgetPolicy};
use crate::core::health::HealthPolicy;
use crate::core::upstream::Weight;
use crate::http::authority::Authority;
use crate::http::head::HeadLimits;

pub use diff::{Diff, diff};
pub use load::{Files, Loaded, control_socket, load};
pub use logging::access_format::{ACCESS_FIELDS, AccessFormat, AccessPiece};
pub use logging::flight_recorder::FlightRecorder;
pub(crate) use logging::log_filter;
pub use logging::{LogFormat, LogTo, Logging};
pub use parse::parse;
pub use raw::schema;
pub use secret::Secret;
pub use text::interpolate::{Lookup, System};
pub use text::problem::{Problem, Problems};
pub use upstreams::{ByHand, HandSetting};
pub use users::{HashKind, hash_password};

/// A whole configuration that can be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The listening side.
    pub server: Server,
    /// The listener for our own pages, if they have one.
    pub admin: Option<Admin>,
    /// Who may use the proxy.
    pub authentication: Authentication,
    /// The upstreams in file order, disabled and zero-weight ones included; no two have the same [`Upstream::key`].
    pub upstreams: Vec<Arc<Upstream>>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How far one request may go in search of an upstream that serves it.
    pub failover: Failover,
    /// Ejection, recovery, active checks.
    pub health: HealthConfig,
    /// What a peer may make us hold.
    pub limits: Limits,
    /// How logs are written.
    pub logging: Logging,
    /// What is remembered of the last minutes, if anything.
    pub flight_recorder: Option<FlightRecorder>,
    /// Things that will run but probably not as meant, each as `path: text`.
    pub warnings: Vec<String>,
}

/// The listening side. `listen`, `pid_file` and `control_socket` need a restart to change.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// For people: logs and /stats.
    pub name: String,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Path of the statistics, starting with `/`.
    pub stats_endpoint: String,
    /// Loopback clients need credentials for the statistics as well.
    pub stats_require_auth: bool,
    /// Host names (besides loopback ones) under which loopback clients may read the statistics without credentials.
    pub stats_hosts: Vec<String>,
    /// Where the process id goes; by default `proxy.pid` in the working directory.
    pub pid_file: ProcessFile,
    /// Where commands reach the running proxy; [`Server::control_socket_path`] says what the default is.
    pub control_socket: ProcessFile,
    /// The pseudonym in `Via`.
    pub via: Via,
    /// Drain, first phase: unready but still serving.
    pub drain_delay: Duration,
    /// Drain, second phase: how long what runs may go on once accepting stopped.
    pub drain_timeout: Duration,
}

/// A listener for our own pages alone. `listen` needs a restart to change.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// Where they are.
    pub listen: SocketAddr,
    /// Whoever reaches it may read the statistics and the metrics.
    pub open_to_all: bool,
}

/// Where a file goes that stands for the running process.
#[derive(Clone, Debug, PartialEq)]
pub enum ProcessFile {
    /// Not configured: at a default place; a failure to make it is only warned about.
    Default,
    /// Configured: a failure to make it is an error.
    At(PathBuf),
    /// Configured as `""`: none.
    Off,
}

/// What we call ourselves in `Via` (RFC 9110 section 7.6.3).
#[derive(Clone, Debug, PartialEq)]
pub enum Via {
    /// A random pseudonym per process, so that two chained proxies never refuse each other.
    Random,
    /// A configured pseudonym (a token).
    Pseudonym(String),
    /// Never sent on CONNECT; plain HTTP uses a random one, since RFC 9110 requires it there.
    Off,
}

/// Who may use the proxy.
#[derive(Clone, Debug, PartialEq)]
pub enum Authentication {
    /// Anyone who can connect.
    Off,
    /// HTTP Basic.
    Basic {
        /// The protection space named in the challenge.
        realm: String,
        /// At least one; names are distinct.
        users: Vec<User>,
        /// Close the connection after every 407 to CONNECT (RFC 9931) instead of only where bytes followed its head.
        close_after_refusal: bool,
    },
}

/// One user of the proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Any characters but `:` and control characters.
    pub name: String,
    /// How its password is known.
    pub password: Password,
}

/// How a password stands in the configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Password {
    /// As itself.
    Plain(Secret),
    /// A bcrypt hash (`$2a$`, `$2b$`, `$2y$`), checked to be well-formed.
    Bcrypt(Secret),
    /// An argon2 PHC string (`$argon2id$`, `$argon2i$`, `$argon2d$`), checked to be well-formed.
    Argon2(Secret),
}

/// One upstream proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// How it is called in logs and statistics; no other upstream of the configuration is called so.
    pub name: String,
    /// URL without credentials, normalised (`http://host:port`): how it is shown.
    pub url: String,
    /// Host: a DNS name or an address (without brackets).
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether TLS is spoken to it.
    pub transport: Transport,
    /// Sent as its `Proxy-Authorization`.
    pub credentials: Option<Credentials>,
    /// Share of first picks: `set_weight`, or zero where `enabled` is false.
    pub weight: Weight,
    /// Its share of first picks while it is enabled.
    pub set_weight: Weight,
    /// Whether it takes requests, shown in /stats.
    pub enabled: bool,
    /// What the file says, where somebody has set it otherwise since.
    pub by_hand: Option<ByHand>,
    /// Free word to group by in /stats and logs.
    pub tag: Option<String>,
    /// Free text for whoever reads the file.
    pub note: Option<String>,
    /// Extra fields of our CONNECT to it, checked to be valid and not of ours.
    pub connect_headers: Vec<(String, Secret)>,
    /// Connections that are opened to it before a CONNECT asks for one; `None`: none.
    pub warm_connections: Option<WarmConnections>,
}

/// How many connections to an upstream may be opened before a CONNECT asks for one, and how old they get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmConnections {
    /// Open, or opening, at a time. Default 8.
    pub max: NonZeroUsize,
    /// From connected to taken. Default 5 s: proxies often wait 10 s for the head of a first request.
    pub max_age: Duration,
}

/// What makes an upstream the same one across a reload: where it is and as whom we come.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UpstreamKey {
    /// [`Upstream::url`].
    pub url: String,
    /// User name of the credentials, if any.
    pub username: Option<String>,
}

/// Plain TCP or TLS to the upstream.
#[derive(Clone, Debug, PartialEq)]
pub enum Transport {
    /// `http://`
    Plain,
    /// `https://`
    Tls {
        /// The name the certificate must carry.
        server_name: String,
        /// PEM certificates to trust instead of the system's, as read.
        roots: Option<Arc<[u8]>>,
    },
}

/// What we show an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Credentials {
    /// Decoded; no `:`.
    pub username: String,
    /// Decoded.
    pub password: Secret,
}

/// How long things may take.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeouts {
    /// One upstream: name resolution, TCP and TLS together. Default 10 s (`upstream_timeout` sets it).
    pub connect: Duration,
    /// One upstream: from our CONNECT (or plain request) to its whole response head. Default 30 s (`upstream_timeout` sets it).
    pub reply: Duration,
    /// All attempts of a request together. Default 90 s.
    pub request: Duration,
    /// A client's whole request head, from its first byte (and for the first head from accept). Default 10 s.
    pub header: Duration,
    /// A kept-alive client connection between requests. Default 60 s.
    pub keep_alive: Duration,
    /// A plain-HTTP body that moves no byte. Default 60 s.
    pub body: Duration,
    /// A tunnel that moves no byte. Default 1 h.
    pub idle_tunnel: Duration,
    /// A tunnel with one direction ended and no byte moving. Default 60 s.
    pub half_closed: Duration,
    /// An unused kept-alive upstream connection. Default 30 s.
    pub pool_idle: Duration,
    /// The same where a request is to take it that can't be sent twice. Default 0 s: none takes one.
    pub pool_idle_unrepeatable: Duration,
    /// How long a name's addresses are used before it is resolved again. Default 30 s.
    pub dns: Duration,
}

/// How far one request may go in search of an upstream that serves it.
#[derive(Clone, Debug, PartialEq)]
pub struct Failover {
    /// Upstreams tried at most. Default 3.
    pub max_attempts: NonZeroU32,
    /// What all requests together may add. Default: as many failovers as requests, and ten a second.
    pub retry_budget: RetryBudgetPolicy,
}

/// Ejection, recovery, active checks.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthConfig {
    /// Thresholds and back-off.
    pub policy: HealthPolicy,
    /// How long a check or a probe waits for each answer. Default 10 s.
    pub timeout: Duration,
    /// Checks beside the traffic; `None`: traffic and probes alone tell.
    pub active: Option<ActiveChecks>,
}

/// Checks through every upstream on an interval.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveChecks {
    /// From one check of an upstream to its next, before jitter of one tenth either way. Default 30 s.
    pub interval: Duration,
    /// What is CONNECTed to; at least one.
    pub endpoints: Vec<Authority>,
    /// Take the endpoints in turn; otherwise the first, and where it does not answer the others in the same check.
    pub rotate: bool,
}

/// What a peer may make us hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// A request or response head, in bytes. Default 16 KiB; beyond: 431 to a client, blame to an upstream.
    pub max_header_bytes: usize,
    /// Fields in a head. Default 100.
    pub max_header_fields: usize,
    /// Client connections at once; `None`: from the descriptor limit. Needs a restart to change.
    pub max_connections: Option<NonZeroUsize>,
    /// Idle kept-alive connections held per upstream. Default 256: fewer than there are requests at once cost each of the others a new one.
    pub pool_per_upstream: usize,
    /// Requests that are remembered of those that were served, and as many of those that failed. Default 256. Needs a restart to change.
    pub remembered_requests: usize,
}

impl From<&Limits> for HeadLimits {
    fn from(limits: &Limits) -> Self {
        HeadLimits { max_bytes: limits.max_header_bytes, max_fields: limits.max_header_fields }
    }
}

impl Config {
    /// What bounds one request's attempts.
    pub fn failover_policy(&self) -> FailoverPolicy {
        FailoverPolicy {
            max_attempts: self.failover.max_attempts,
            request_timeout: self.timeouts.request,
            connect_timeout: self.timeouts.connect,
            reply_timeout: self.timeouts.reply,
            retry_budget: self.failover.retry_budget,
        }
    }
}

impl ProcessFile {
    /// From the field as it is configured.
    fn read(field: Option<String>) -> Self {
        match field {
            None => ProcessFile::Default,
            Some(path) if path.is_empty() => ProcessFile::Off,
            Some(path) => ProcessFile::At(path.into()),
        }
    }
}

impl Server {
    /// Where the process id goes, if anywhere.
    pub fn pid_file_path(&self) -> Option<PathBuf> {
        pid_file_path(&self.pid_file)
    }

    /// Where commands reach the running proxy, if anywhere. The default is beside the PID file and named like it:
    /// `proxy.sock` beside `proxy.pid`, and in the working directory where there is no PID file.
    pub fn control_socket_path(&self) -> Option<PathBuf> {
        control_socket_path(&self.control_socket, &self.pid_file)
    }
}

/// Where the process id goes unless configured.
const PID_FILE: &str = "proxy.pid";

fn pid_file_path(pid_file: &ProcessFile) -> Option<PathBuf> {
    match pid_file {
        ProcessFile::Default => Some(PID_FILE.into()),
        ProcessFile::At(path) => Some(path.clone()),
        ProcessFile::Off => None,
    }
}

fn control_socket_path(control_socket: &ProcessFile, pid_file: &ProcessFile) -> Option<PathBuf> {
    match control_socket {
        ProcessFile::Default => Some(pid_file_path(pid_file).unwrap_or_else(|| PID_FILE.into()).with_extension("sock")),
        ProcessFile::At(path) => Some(path.clone()),
        ProcessFile::Off => None,
    }
}

impl Upstream {
    /// What identifies it across reloads.
    pub fn key(&self) -> UpstreamKey {
        UpstreamKey { url: self.url.clone(), username: self.credentials.as_ref().map(|c| c.username.clone()) }
    }

    /// Whether it knows us as it does in `other`, over the same transport: what it answered here, it would there.
    pub fn is_known_as(&self, other: &Upstream) -> bool {
        let known = |one: &Upstream| (one.credentials.clone(), one.transport.clone(), one.connect_headers.clone());
        known(self) == known(other)
    }
}
