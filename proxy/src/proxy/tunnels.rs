//! Shows and closes the tunnels of a running proxy by hand.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Operator, Proxy};
use crate::client::tunnels;
use crate::context::Carriage;
use crate::env::Env;
use crate::event::{Event, RequestId};

/// What is asked of a tunnel, for it to be closed. Everything that is given has to be so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criteria {
    /// It goes through the upstream of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// It is this user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// It leads to this host, or to this `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// No byte was delivered for so many milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_for_ms: Option<u64>,
    /// It is the one of this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
}

/// [`Criteria`] that ask for something, so that no slip closes every tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Criteria", try_from = "Criteria")]
pub struct TunnelFilter(Criteria);

/// Why [`Criteria`] are no filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Nothing is asked.
    #[error("at least one of upstream, user, target, idle_for and id has to say which tunnels are meant")]
    Everything,
    /// A name is empty.
    #[error("{0} must not be empty")]
    Empty(&'static str),
    /// Every tunnel is idle for so long.
    #[error("idle_for must be a millisecond or more")]
    NoTime,
}

impl TryFrom<Criteria> for TunnelFilter {
    type Error = FilterError;

    fn try_from(criteria: Criteria) -> Result<Self, FilterError> {
        let Criteria { upstream, user, target, idle_for_ms, id } = &criteria;
        let names = [("upstream", upstream), ("user", user), ("target", target)];
        if let Some((empty, _)) = names.iter().find(|(_, name)| name.as_deref() == Some("")) {
            return Err(FilterError::Empty(empty));
        }
        if *idle_for_ms == Some(0) {
            return Err(FilterError::NoTime);
        }
        if names.iter().all(|(_, name)| name.is_none()) && idle_for_ms.is_none() && id.is_none() {
            return Err(FilterError::Everything);
        }
        Ok(TunnelFilter(criteria))
    }
}

impl From<TunnelFilter> for Criteria {
    fn from(TunnelFilter(criteria): TunnelFilter) -> Self {
        criteria
    }
}

/// As the log tells it: `upstream "a", idle for 5m`.
impl fmt::Display for TunnelFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Criteria { upstream, user, target, idle_for_ms, id } = &self.0;
        let quoted = |word, name: &Option<String>| name.as_ref().map(|name| format!("{word} {name:?}"));
        let idle = |ms| format!("idle for {}", humantime::format_duration(Duration::from_millis(ms)));
        let parts = [
            quoted("upstream", upstream),
            quoted("user", user),
            quoted("target", target),
            idle_for_ms.map(idle),
            id.map(|id| format!("id {id}")),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

impl TunnelFilter {
    fn takes(&self, tunnel: &Carriage) -> bool {
        let Criteria { upstream, user, target, idle_for_ms, id } = &self.0;
        upstream.as_ref().is_none_or(|name| goes_through(tunnel, name))
            && user.as_ref().is_none_or(|name| tunnel.user.as_deref() == Some(name))
            && target.as_ref().is_none_or(|host| leads_to(&tunnel.target, host))
            && idle_for_ms.is_none_or(|span| tunnel.idle() >= Duration::from_millis(span))
            && id.is_none_or(|id| tunnel.request == id)
    }
}

fn goes_through(tunnel: &Carriage, name: &str) -> bool {
    tunnel.upstream.as_ref().is_some_and(|upstream| *upstream.name == *name)
}

/// Whether `target`, a `host:port`, is what `wanted` names: with its port or without, an IPv6 address with its brackets or
/// without.
fn leads_to(target: &str, wanted: &str) -> bool {
    let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    [target, host, bare].iter().any(|name| name.eq_ignore_ascii_case(wanted))
}

/// Why no tunnel was closed.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// There is no such upstream, and no tunnel goes through one.
    #[error("no upstream is called {0:?}; `proxy upstreams` shows their names")]
    UnknownUpstream(String),
}

impl<E: Env> Proxy<E> {
    /// Returns the tunnels that are open, as JSON: the oldest thousand, and how many more there are.
    pub async fn tunnels(&self) -> String {
        tunnels::list(&self.context).await
    }

    /// Closes the tunnels that `filter` takes, as `operator` asks, and returns how many. Their two sides are reset.
    ///
    /// # Errors
    /// There is no such upstream.
    pub async fn close_tunnels(&self, filter: &TunnelFilter, operator: Operator) -> Result<usize, CloseError> {
        let context = &self.context;
        let mut unknown = filter.0.upstream.as_ref().filter(|name| {
            let snapshot = context.pool.snapshot();
            !snapshot.upstreams.iter().any(|one| one.config.name == **name)
        });
        let mut closed = 0;
        for (seen, tunnel) in context.connections.tunnels.open().enumerate() {
            // A reload may have taken it out of the configuration.
            unknown = unknown.filter(|name| !goes_through(&tunnel, name));
            if filter.takes(&tunnel) && tunnel.close() {
                closed += 1;
            }
            if seen % tunnels::TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
        if let Some(name) = unknown {
            return Err(CloseError::UnknownUpstream(name.clone()));
        }
        if closed > 0 {
            let Operator { uid, pid } = operator;
            context.pool.emit(&Event::TunnelsClosed { filter: &filter.to_string(), closed, uid, pid });
        }
        Ok(closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_named_with_its_port_or_without() {
        for (target, wanted) in [
            ("a.test:443", "a.test"),
            ("a.test:443", "A.Test:443"),
            ("[::1]:443", "::1"),
            ("[::1]:443", "[::1]"),
            ("[::1]:443", "[::1]:443"),
        ] {
            assert!(leads_to(target, wanted), "{target} {wanted}");
        }
        for wanted in ["test", "a.test:44", "a.test:", "b.a.test", ":443", "443", "*"] {
            assert!(!leads_to("a.test:443", wanted), "{wanted}");
        }
    }

    #[test]
    fn a_filter_asks_for_something_and_says_for_what() {
        let filter = |text: &str| serde_json::from_str::<TunnelFilter>(text).map_err(|error| error.to_string());
        let said = |text| filter(text).unwrap().to_string();
        assert_eq!(said(r#"{"upstream":"a","idle_for_ms":300000}"#), r#"upstream "a", idle for 5m"#);
        assert_eq!(said(r#"{"user":"u\n","target":"h","id":7}"#), r#"user "u\n", target "h", id 7"#);
        for (text, why) in [
            ("{}", "at least one of"),
            (r#"{"upstream":""}"#, "upstream must not be empty"),
            (r#"{"user":"a","target":""}"#, "target must not be empty"),
            (r#"{"idle_for_ms":0}"#, "idle_for must be a millisecond or more"),
            (r#"{"idle_for_ms":-1}"#, "invalid value"),
            (r#"{"id":"7"}"#, "invalid type"),
            (r#"{"id":7,"all":true}"#, "unknown field"),
        ] {
            let error = filter(text).unwrap_err();
            assert!(error.contains(why) && error.lines().count() == 1, "{text}: {error}");
        }
    }
}
