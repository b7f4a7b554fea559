//! A scenario file describes a network, the proxy's configuration, upstreams, clients, a timeline and expectations.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use faulty_upstream::Plan;
use faulty_upstream::plan::{self, Problem};
use proxy::config::text::{Span, schema_of};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::chance::Chance;
use super::client::{Client, Entrance};
use super::expectation::Expectation;
use super::host::PROXY;
use super::network::Network;
use super::seen::Seen;
use super::timeline::Entry;
use super::values::left_out::{is_default, is_null};

/// A scenario
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Where editors find the schema.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The name of the file: letters, digits and dashes.
    pub name: String,
    /// What happens and why it matters, in a sentence.
    pub story: String,
    /// Why the outcome may differ between engines, by the aspect in which it may. Any other difference fails `simulator parity`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parity: BTreeMap<Aspect, String>,
    /// Why the replay of a recording of the proxy's log may differ from the run itself. Any other that does fails `simulator fidelity --live`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_differs: Option<String>,
    /// Ways to break the proxy (simulator/mutations/). The scenario must notice at least one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub catches: Vec<String>,
    /// How long the story goes on. After it, everything is healed, and requests must succeed.
    pub duration: Span,
    /// The seed, if the command line names none.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub seed: u64,
    /// How long packets take, and which are lost.
    #[serde(default, skip_serializing_if = "is_default")]
    pub network: Network,
    /// What is left to chance.
    #[serde(default, skip_serializing_if = "is_default")]
    pub chance: Chance,
    /// The proxy's configuration in its own format. Fields that are left out are filled in for the simulated network.
    #[serde(default, skip_serializing_if = "is_null")]
    #[schemars(with = "BTreeMap<String, Json>")]
    pub proxy: Json,
    /// Further proxies, each on a host of that name, with their configurations. They know all upstreams unless they name others, and
    /// another proxy may be one of these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, BTreeMap<String, Json>>")]
    pub further_proxies: BTreeMap<String, Json>,
    /// The upstreams. Each is a host with that name, and listens on port 8080.
    pub upstreams: Vec<Upstream>,
    /// The clients of the proxy.
    pub clients: Vec<Client>,
    /// What happens when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Entry>,
    /// What must hold of the run, beside the laws.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expectation>,
    /// Of a recorded day: what was seen on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
}

/// An aspect in which the outcomes of engines are compared
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// How the run ends.
    Verdict,
    /// The share of requests that succeed.
    Successes,
    /// The share of each upstream in the first picks while no upstream is ejected.
    Picks,
    /// How often upstreams are ejected.
    Ejections,
    /// How often upstreams recover.
    Recoveries,
    /// How many requests take more than one attempt.
    Failovers,
    /// The 50th and the 99th percentile of the time to the answers of requests that succeed.
    Latency,
}

/// An upstream
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The name of its host.
    pub name: String,
    /// The credentials that it asks for, as "user:password".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    /// Whether it speaks TLS, with a certificate for its name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: bool,
    /// How long it waits before it answers a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Span>,
    /// How long a connection may say nothing before its first request; then it is ended in order. Left out: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Span>,
    /// What it does wrong, in faulty-upstream's format.
    #[serde(default, skip_serializing_if = "is_null")]
    #[schemars(with = "BTreeMap<String, Json>")]
    pub plan: Json,
}

impl Upstream {
    /// What it does wrong, as faulty-upstream reads it. If the plan names no seed, its faults are drawn from `seed`.
    ///
    /// # Errors
    /// What faulty-upstream says of the plan.
    pub fn fault_plan(&self, seed: u64) -> Result<Plan, Vec<Problem>> {
        let mut json = if self.plan.is_null() { json!({}) } else { self.plan.clone() };
        if let Some(object) = json.as_object_mut() {
            object.entry("seed").or_insert(Json::from(seed));
        }
        plan::parse(&json.to_string())
    }
}

impl Scenario {
    /// The hosts of the proxies: first that of `proxy`, then those of `further_proxies`.
    pub fn proxies(&self) -> impl Iterator<Item = &str> {
        std::iter::once(PROXY).chain(self.further_proxies.keys().map(String::as_str))
    }

    /// What the scenario writes of the configuration of the proxy on `host`.
    pub fn configuration(&self, host: &str) -> &Json {
        self.further_proxies.get(host).unwrap_or(&self.proxy)
    }

    /// Which listener of its proxy the client of that name comes to. The run's own come where clients do.
    pub fn entrance_of(&self, client: &str) -> Entrance {
        self.clients.iter().find(|one| one.name == client).map_or(Entrance::Clients, |one| one.entrance)
    }
}

/// The JSON Schema of scenario files.
pub fn schema() -> &'static schemars::Schema {
    static SCHEMA: LazyLock<schemars::Schema> = LazyLock::new(schema_of::<Scenario>);
    &SCHEMA
}

const fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_one(number: &u64) -> bool {
    *number == 1
}
