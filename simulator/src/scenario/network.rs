//! The network of a scenario says how packets fare and where names lead.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use proxy::config::text::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::left_out::is_default;

/// How packets fare
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// The step of virtual time.
    pub tick: Span,
    /// Of every packet, one way.
    pub latency: Span,
    /// Up to so much more, drawn for each packet.
    #[serde(skip_serializing_if = "is_default")]
    pub jitter: Span,
    /// The share of packets that are lost, from 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    #[serde(skip_serializing_if = "is_default")]
    pub loss: f64,
    /// Packets that others overtake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder: Option<Reorder>,
    /// Of every link. Left out: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<NonZeroU64>,
    /// Links that are not as the others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<NetworkLink>,
    /// Names besides those of the hosts, and the hosts they lead to.
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

/// Packets that others overtake
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Reorder {
    /// Their share of all, from 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub share: f64,
    /// By so much they come later. What follows on the same connection waits for them, as its receiver would make it.
    pub by: Span,
}

/// A link that is not as the others
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct NetworkLink {
    /// Two hosts; both directions.
    pub between: (String, String),
    /// Of every packet, one way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Span>,
    /// Up to so much more, drawn for each packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Span>,
    /// The share of packets that are lost, from 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Packets that others overtake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reorder: Option<Reorder>,
    /// Its bandwidth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<NonZeroU64>,
}
