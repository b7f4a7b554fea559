//! The network of a scenario says how long packets take, which are lost, and what names resolve to.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use proxy::config::text::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::left_out::is_default;

/// How long packets take, and which are lost
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// The step of virtual time.
    pub tick: Span,
    /// How long each packet takes, one way.
    pub latency: Span,
    /// The most that is added to the latency; it is drawn for each packet.
    #[serde(skip_serializing_if = "is_default")]
    pub jitter: Span,
    /// The share of packets that are lost, from 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    #[serde(skip_serializing_if = "is_default")]
    pub loss: f64,
    /// Some packets are overtaken by others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder: Option<Reorder>,
    /// The bandwidth of each link. Left out: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<NonZeroU64>,
    /// Links that differ from the others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<NetworkLink>,
    /// Names other than those of the hosts, and the hosts that each resolves to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dns: BTreeMap<String, Vec<String>>,
}

impl Default for Network {
    fn default() -> Self {
        Network {
            tick: Span::from_millis(1),
            latency: Span::from_millis(1),
            jitter: Span::default(),
            loss: 0.0,
            reorder: None,
            bytes_per_second: None,
            links: Vec::new(),
            dns: BTreeMap::new(),
        }
    }
}

/// Packets that are overtaken by others
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Reorder {
    /// The share of these packets, from 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub share: f64,
    /// How much later they arrive. Later packets of the same connection wait for them, as they would in the receiver's TCP.
    pub by: Span,
}

/// A link that differs from the others
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct NetworkLink {
    /// The two hosts that it connects, in both directions.
    pub between: (String, String),
    /// How long each packet takes, one way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Span>,
    /// The most that is added to the latency; it is drawn for each packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Span>,
    /// The share of packets that are lost, from 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Some packets are overtaken by others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reorder: Option<Reorder>,
    /// Its bandwidth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<NonZeroU64>,
}
