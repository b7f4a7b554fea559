//! The timeline of a scenario says what happens to hosts, links and faults, and when.

use std::collections::BTreeMap;

use proxy::config::text::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::values::clock_jump::ClockJump;
use super::values::left_out::is_null;
use super::values::written::Written;

/// Something that happens at a time
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Entry {
    /// Since the start.
    pub at: Span,
    /// What.
    #[serde(flatten)]
    pub action: Action,
}

/// Something that happens
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    /// No packet passes between two hosts.
    Partition {
        /// The two.
        between: (String, String),
    },
    /// No packet passes from one host to another; the other direction works.
    PartitionOneWay {
        /// Whose packets are lost.
        from: String,
        /// Who does not get them.
        to: String,
    },
    /// Packets between two hosts wait until the link is healed.
    Hold {
        /// The two.
        between: (String, String),
    },
    /// Links let everything pass again.
    Heal {
        /// Which. Left out: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        between: Option<(String, String)>,
    },
    /// Links lose some packets.
    Loss {
        /// Which. Left out: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        between: Option<(String, String)>,
        /// From 0 to 1.
        #[schemars(range(min = 0, max = 1))]
        share: f64,
    },
    /// Links take another time.
    Delay {
        /// Which. Left out: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        between: Option<(String, String)>,
        /// Of every packet, one way.
        latency: Span,
        /// Up to so much more.
        #[serde(default)]
        jitter: Span,
    },
    /// The process on a host is killed; its connections are reset.
    Crash {
        /// Which.
        host: String,
    },
    /// The process on a host is started again.
    Restart {
        /// Which.
        host: String,
    },
    /// The proxy's configuration file has changed.
    Reload {
        /// To this, in the proxy's format; filled in like the first.
        #[serde(default, skip_serializing_if = "is_null")]
        #[schemars(with = "BTreeMap<String, Json>")]
        proxy: Json,
        /// To this text, as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// The proxy is told to finish and stop.
    Drain,
    /// The wall clock is set forward or back; intervals are not affected.
    ClockJump {
        /// Such as "1h" or "-1h".
        by: Written<ClockJump>,
    },
    /// A name leads elsewhere from now on.
    Dns {
        /// Which.
        name: String,
        /// To these hosts; to none, and it is unknown.
        hosts: Vec<String>,
    },
    /// A fault of an upstream's plan comes into force.
    Arm {
        /// Whose.
        upstream: String,
        /// Its id in the plan.
        fault: String,
    },
    /// A fault of an upstream's plan is over.
    Disarm {
        /// Whose.
        upstream: String,
        /// Its id in the plan.
        fault: String,
    },
}
