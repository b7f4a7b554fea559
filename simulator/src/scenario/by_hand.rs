//! What an operator sets of a proxy's upstream by hand, in the words of the proxy's command line.

use std::sync::Arc;

use proxy::config::text::Span;
use proxy::config::{Config, HandSetting};
use proxy::core::upstream::Weight;
use proxy::{Criteria, FilterError, Order, TunnelFilter};
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
    /// As if its failures had ejected it: a probe lets it back in.
    Eject,
    /// If it is ejected, it takes requests again without a probe.
    Restore,
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
            ByHand::Eject => Order::Eject,
            ByHand::Restore => Order::Restore,
            ByHand::Weight(weight) => Order::Weight(weight.into()),
        }
    }

    /// What stands behind `proxy upstream` to do it to the upstream that is called `name`.
    pub fn arguments(self, name: &str) -> Vec<String> {
        let (word, weight) = match self {
            ByHand::Disable => ("disable", None),
            ByHand::Enable => ("enable", None),
            ByHand::Drain => ("drain", None),
            ByHand::Eject => ("eject", None),
            ByHand::Restore => ("restore", None),
            ByHand::Weight(HandWeight(weight)) => ("weight", Some(weight.get().to_string())),
        };
        [word.to_owned(), name.to_owned()].into_iter().chain(weight).collect()
    }

    /// Sets this in `config` of each upstream whose URL has `host`. Returns whether that changed anything; what is a matter of health
    /// never does.
    pub fn set(self, host: &str, config: &mut Config) -> bool {
        let setting = match self {
            ByHand::Disable => HandSetting::Disabled,
            ByHand::Enable => HandSetting::Enabled,
            ByHand::Drain => HandSetting::Draining,
            ByHand::Weight(weight) => HandSetting::Weight(weight.0),
            ByHand::Eject | ByHand::Restore => return false,
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

/// Which tunnels an operator closes, as `proxy tunnels close` does: those for which everything that is given is so
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhichTunnels {
    /// Through the upstream whose URL has this host. Nothing is closed if no URL in force has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Of this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// To this host, at any port or at the one that is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Without a byte for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_for: Option<Span>,
}

impl WhichTunnels {
    /// What the proxy's own command asks for, where the proxy calls the upstream `upstream`.
    ///
    /// # Errors
    /// Nothing is asked for, or what is asked for is empty.
    pub fn filter(&self, upstream: Option<&str>) -> Result<TunnelFilter, FilterError> {
        let idle_for_ms = self.idle_for.map(|span| u64::try_from(span.get().as_millis()).unwrap_or(u64::MAX));
        let (user, target) = (self.user.clone(), self.target.clone());
        Criteria { upstream: upstream.map(str::to_owned), user, target, idle_for_ms, id: None }.try_into()
    }

    /// The filters for a proxy with this configuration, one for each upstream whose URL has the host, each with its name.
    pub fn filters(&self, config: &Config) -> Vec<TunnelFilter> {
        let Some(host) = &self.upstream else { return self.filter(None).into_iter().collect() };
        let upstreams = config.upstreams.iter().filter(|one| *one.host == **host);
        upstreams.filter_map(|one| self.filter(Some(&one.name)).ok()).collect()
    }
}
