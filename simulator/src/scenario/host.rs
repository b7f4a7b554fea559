//! A scenario names the hosts of upstreams and clients; the other hosts and all ports are constants.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// What the proxy's host is called.
pub const PROXY: &str = "proxy";
/// The host of the requests that every run makes at its end, to see whether the proxy makes progress. The names of the hosts that do so
/// with further proxies begin with it ([`own_client`]).
pub const LIVENESS: &str = "liveness";
/// The port that the proxy listens on unless its configuration says otherwise.
pub const PROXY_PORT: u16 = 3130;
/// The port that upstreams listen on.
pub const UPSTREAM_PORT: u16 = 8080;

/// The host of the requests that every run makes at its end through the proxy on `proxy`.
pub fn own_client(proxy: &str) -> HostName {
    if proxy == PROXY { HostName::new(LIVENESS) } else { HostName::new(&format!("{LIVENESS}-{proxy}")) }
}

/// The name of a host in a scenario.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

impl HostName {
    /// Makes a name of `name`.
    pub fn new(name: &str) -> Self {
        HostName(name.into())
    }

    /// The name as it is written in the scenario.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for HostName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
