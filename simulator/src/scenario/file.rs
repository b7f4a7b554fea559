//! A scenario file describes a network, the proxy's configuration, upstreams, clients, a timeline and expectations.

use std::collections::BTreeMap;

use faulty_upstream::Plan;
use faulty_upstream::plan::{self, Problem};
use proxy::config::text::{Span, schema_of};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::chance::Chance;
use super::client::Client;
use super::expectation::Expectation;
use super::network::Network;
use super::timeline::Entry;
use super::values::left_out::{is_default, is_null};

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
    /// Why engines may differ in what comes of it, by what they may differ in; any other difference counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parity: BTreeMap<Aspect, String>,
    /// The ways to break the proxy (simulator/mutations/) of which it must notice at least one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub catches: Vec<String>,
    /// How long the story goes on; after it everything is healed and progress is demanded.
    pub duration: Span,
    /// The seed where the command line names none.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub seed: u64,
    /// How packets fare.
    #[serde(default, skip_serializing_if = "is_default")]
    pub network: Network,
    /// What is left to chance.
    #[serde(default, skip_serializing_if = "is_default")]
    pub chance: Chance,
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

/// What engines are compared by
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// How the run ended.
    Verdict,
    /// The share of requests that went well.
    Successes,
    /// The shares of first picks while nobody was out.
    Picks,
    /// How many upstreams were ejected.
    Ejections,
    /// How many came back.
    Recoveries,
    /// How many requests took more than one attempt.
    Failovers,
    /// Half of the successes were answered in that time, and 99 % of them in that.
    Latency,
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

impl Upstream {
    /// What it does wrong, as faulty-upstream reads it. Where the plan names no seed, its faults are drawn from `seed`.
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

/// The JSON Schema of scenario files.
pub fn schema() -> schemars::Schema {
    schema_of::<Scenario>()
}

const fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_one(number: &u64) -> bool {
    *number == 1
}
