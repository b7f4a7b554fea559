//! What a scenario file says. scenarios/README.md is its reference; [`schema`] is its JSON Schema.

mod client;
mod notation;
mod parse;
mod scale;
mod shape;
mod span;

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub use client::{Client, Does};
pub use notation::{Notation, Rate, Shared, Stages, Written};
pub use parse::{Problem, load, load_scaled, parse};
pub use span::Span;

use crate::expect::Expectation;

/// The port that upstreams listen on.
pub const UPSTREAM_PORT: u16 = 8080;
/// Where the proxy listens unless its configuration says otherwise.
pub const PROXY_PORT: u16 = 3130;
/// What the proxy's host is called.
pub const PROXY: &str = "proxy";

/// A scenario
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Where the schema is, for editors.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Short, in words with dashes.
    pub name: String,
    /// What happens and why it matters, in a sentence.
    pub story: String,
    /// Why engines may differ in what comes of it, where they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parity: Option<String>,
    /// How long the story goes on; after it everything is healed and progress is demanded.
    pub duration: Span,
    /// The seed where the command line names none.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub seed: u64,
    /// How packets fare.
    #[serde(default, skip_serializing_if = "is_default")]
    pub network: Network,
    /// The proxy's configuration in its own format; what it leaves out is filled in for the simulated network.
    #[serde(default, skip_serializing_if = "is_null")]
    #[schemars(with = "BTreeMap<String, Json>")]
    pub proxy: Json,
    /// The upstreams: each is a host of that name and listens on port 8080.
    pub upstreams: Vec<Upstream>,
    /// Who asks.
    pub clients: Vec<Client>,
    /// What happens when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Entry>,
    /// What must come of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expectation>,
}

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

/// An upstream
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Its host.
    pub name: String,
    /// "user:password" that it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    /// Time it takes before it answers a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Span>,
    /// What it does wrong, in faulty-upstream's format.
    #[serde(default, skip_serializing_if = "is_null")]
    #[schemars(with = "BTreeMap<String, Json>")]
    pub plan: Json,
}

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
        by: String,
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

/// The JSON Schema of scenario files.
pub fn schema() -> schemars::Schema {
    let settings =
        schemars::generate::SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Scenario>()
}

const fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_one(number: &u64) -> bool {
    *number == 1
}

fn is_null(json: &Json) -> bool {
    json.is_null()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
