//! The timeline of a scenario says what happens to hosts, links and faults, and when.

use std::collections::BTreeMap;

use proxy::config::text::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::by_hand::{ByHand, WhichTunnels};
use super::host::PROXY;
use super::values::clock_jump::ClockJump;
use super::values::left_out::is_null;
use super::values::written::Written;

/// Something that happens at a time
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Entry {
    /// The time since the start.
    pub at: Span,
    /// What happens.
    #[serde(flatten)]
    pub action: Action,
}

/// Something that happens
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    /// No packet passes between two hosts.
    Partition {
        /// The two hosts.
        between: (String, String),
    },
    /// No packet passes from one host to another; the other direction works.
    PartitionOneWay {
        /// The host whose packets are lost.
        from: String,
        /// The host that does not get them.
        to: String,
    },
    /// Packets between two hosts wait until the link is healed.
    Hold {
        /// The two hosts.
        between: (String, String),
    },
    /// Links let everything pass again.
    Heal {
        /// The link between these two hosts. Left out: all links.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        between: Option<(String, String)>,
    },
    /// Links lose some packets.
    Loss {
        /// The link between these two hosts. Left out: all links.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        between: Option<(String, String)>,
        /// The share of packets that are lost, from 0 to 1.
        #[schemars(range(min = 0, max = 1))]
        share: f64,
    },
    /// The latency of links changes.
    Delay {
        /// The link between these two hosts. Left out: all links.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        between: Option<(String, String)>,
        /// How long each packet takes, one way.
        latency: Span,
        /// The most that is added to the latency; it is drawn for each packet.
        #[serde(default)]
        jitter: Span,
    },
    /// The process on a host is killed; its connections are reset.
    Crash {
        /// The host.
        host: String,
    },
    /// The process on a host is started again.
    Restart {
        /// The host.
        host: String,
    },
    /// A proxy's configuration file has changed.
    Reload {
        /// The proxy's host. Left out: `proxy`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        /// The new configuration, in the proxy's format. Fields that are left out are filled in as in the first one.
        #[serde(default, skip_serializing_if = "is_null")]
        #[schemars(with = "BTreeMap<String, Json>")]
        proxy: Json,
        /// The new text of the file, which is used as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// An operator sets an upstream of a proxy by hand, until the proxy reads its configuration again.
    Steer {
        /// The proxy's host. Left out: `proxy`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        /// The host in the upstream's URL. Nothing is set if no URL in force has it.
        upstream: String,
        /// What is set.
        order: ByHand,
    },
    /// An operator closes tunnels of a proxy.
    CloseTunnels {
        /// The proxy's host. Left out: `proxy`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        /// Which.
        which: WhichTunnels,
    },
    /// A proxy is told to finish and stop.
    Drain {
        /// The proxy's host. Left out: `proxy`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
    },
    /// The wall clock is set forward or back; intervals are not affected.
    ClockJump {
        /// By how much: "1h" or "-1h".
        by: Written<ClockJump>,
    },
    /// A name resolves to other hosts from now on.
    Dns {
        /// The name.
        name: String,
        /// The hosts. Without any, the name is unknown.
        hosts: Vec<String>,
    },
    /// A fault of an upstream's plan comes into force.
    Arm {
        /// The upstream.
        upstream: String,
        /// The fault's id in the plan.
        fault: String,
    },
    /// A fault of an upstream's plan is over.
    Disarm {
        /// The upstream.
        upstream: String,
        /// The fault's id in the plan.
        fault: String,
    },
}

impl Action {
    /// The host of the proxy that is told something, if one is.
    pub fn told(&self) -> Option<&str> {
        match self {
            Action::Reload { host, .. }
            | Action::Steer { host, .. }
            | Action::CloseTunnels { host, .. }
            | Action::Drain { host } => Some(host.as_deref().unwrap_or(PROXY)),
            _ => None,
        }
    }
}
