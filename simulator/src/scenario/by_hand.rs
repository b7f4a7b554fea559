//! What an operator sets of a proxy's upstream by hand, in the words of the proxy's command line.

use std::sync::Arc;

use proxy::Order;
use proxy::config::{Config, HandSetting};
use proxy::core::upstream::Weight;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is set of an upstream by hand, as `proxy upstream` sets it
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ByHand {
    /// It takes no requests until it is enabled.
    Disable,
    /// It takes requests again.
    Enable,
    /// As `disable`, and connections to it close once nobody uses them.
    Drain,
    /// Its share of first picks from now on.
    Weight(#[schemars(with = "u32", range(min = 0, max = 10_000))] HandWeight),
}

/// A weight from 0 to 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct HandWeight(Weight);

impl TryFrom<u32> for HandWeight {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        Weight::new(number).map(HandWeight).ok_or_else(|| format!("a weight is 0 to {}", Weight::MAX.get()))
    }
}

impl From<HandWeight> for u32 {
    fn from(weight: HandWeight) -> u32 {
        weight.0.get()
    }
}

impl ByHand {
    /// The same as the proxy's own commands say it.
    pub fn order(self) -> Order {
        match self {
            ByHand::Disable => Order::Disable,
            ByHand::Enable => Order::Enable,
            ByHand::Drain => Order::Drain,
            ByHand::Weight(weight) => Order::Weight(weight.into()),
        }
    }

    /// What stands behind `proxy upstream` to do it to the upstream that is called `name`.
    pub fn arguments(self, name: &str) -> Vec<String> {
        let (word, weight) = match self {
            ByHand::Disable => ("disable", None),
            ByHand::Enable => ("enable", None),
            ByHand::Drain => ("drain", None),
            ByHand::Weight(HandWeight(weight)) => ("weight", Some(weight.get().to_string())),
        };
        [word.to_owned(), name.to_owned()].into_iter().chain(weight).collect()
    }

    /// Sets this in `config` of each upstream whose URL has `host`. Returns whether that changed anything.
    pub fn set(self, host: &str, config: &mut Config) -> bool {
        let setting = match self {
            ByHand::Disable => HandSetting::Disabled,
            ByHand::Enable => HandSetting::Enabled,
            ByHand::Drain => HandSetting::Draining,
            ByHand::Weight(weight) => HandSetting::Weight(weight.0),
        };
        let mut changed = false;
        for one in config.upstreams.iter_mut().filter(|one| one.host == host) {
            let set = one.with(setting);
            changed |= set != **one;
            *one = Arc::new(set);
        }
        changed
    }
}
