//! How long things may take, how often they are tried, and how much of them may be held.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::text::span::Span;

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Timeouts {
    /// For one upstream: name resolution, TCP and TLS together. Left out: upstream_timeout, else 10s.
    pub(in crate::config) connect: Option<Span>,
    /// For one upstream: from our CONNECT or request to its complete response head. Left out: upstream_timeout, else 30s.
    pub(in crate::config) reply: Option<Span>,
    /// For all attempts of a request together.
    pub(in crate::config) request: Span,
    /// For a client's complete request head.
    pub(in crate::config) header: Span,
    /// For a client's connection between two requests.
    pub(in crate::config) keep_alive: Span,
    /// For a plain-HTTP body of which no byte moves.
    pub(in crate::config) body: Span,
    /// For a tunnel in which no byte moves.
    pub(in crate::config) idle_tunnel: Span,
    /// For a tunnel of which one direction has ended and in which no byte moves.
    pub(in crate::config) half_closed: Span,
    /// For an unused connection to an upstream that is kept for later requests.
    pub(in crate::config) pool_idle: Span,
    /// For a connection that is to carry a request which can't be sent twice: one with a body, or a POST. With 0s it gets one of its own.
    #[schemars(extend("x-minimum" = "0s"))]
    pub(in crate::config) pool_idle_unrepeatable: Span,
    /// How long a name's addresses are used before it is resolved again.
    pub(in crate::config) dns: Span,
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
            pool_idle_unrepeatable: Span::default(),
            dns: Span::from_secs(30),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Failover {
    /// How many upstreams are tried for one request at most.
    #[schemars(range(min = 1, max = 10_000))]
    pub(in crate::config) max_attempts: u32,
    /// How many failovers all requests together may have, for each hundred requests of the last ten seconds.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(in crate::config) retry_budget_percent: u32,
    /// How many failovers a second are always allowed, however few requests there are.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(in crate::config) retry_budget_min_per_second: u32,
}

impl Default for Failover {
    fn default() -> Self {
        Failover { max_attempts: 3, retry_budget_percent: 100, retry_budget_min_per_second: 10 }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Limits {
    /// The most bytes of a request or response head.
    #[schemars(range(min = 1024, max = 1_048_576))]
    pub(in crate::config) max_header_bytes: usize,
    /// The most fields in a head.
    #[schemars(range(min = 8, max = 1000))]
    pub(in crate::config) max_header_fields: usize,
    /// The most client connections at once. Left out: it follows from the limit of open files.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(in crate::config) max_connections: Option<usize>,
    /// The most idle connections that are kept for each upstream.
    #[schemars(range(min = 0, max = 10_000))]
    pub(in crate::config) pool_per_upstream: usize,
    /// How many requests are remembered for /requests: as many that were served, and as many that failed.
    #[schemars(range(min = 0, max = 10_000))]
    pub(in crate::config) remembered_requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_header_bytes: 16 * 1024,
            max_header_fields: 100,
            max_connections: None,
            pool_per_upstream: 256,
            remembered_requests: 256,
        }
    }
}
