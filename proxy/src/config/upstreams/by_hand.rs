//! Sets an upstream of the configuration in force by hand, otherwise than its file says, until a file is read again.

use crate::config::Upstream;
use crate::core::upstream::Weight;

/// What is set of an upstream by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandSetting {
    /// It takes requests.
    Enabled,
    /// It takes none.
    Disabled,
    /// It takes none, and connections to it close once nobody uses them.
    Draining,
    /// Its share of first picks, while it is enabled.
    Weight(Weight),
}

/// What the file says of an upstream that is set otherwise by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByHand {
    /// The weight that it has there.
    pub weight: Weight,
    /// Whether it is enabled there.
    pub enabled: bool,
    /// Connections to it close once nobody uses them, which no file asks for.
    pub draining: bool,
}

impl Upstream {
    /// This upstream with another setting.
    #[must_use]
    pub fn with(&self, setting: HandSetting) -> Upstream {
        let file = self.by_hand.unwrap_or(ByHand { weight: self.set_weight, enabled: self.enabled, draining: false });
        let mut set = self.clone();
        let mut draining = self.is_draining();
        match setting {
            HandSetting::Weight(weight) => set.set_weight = weight,
            HandSetting::Enabled => (set.enabled, draining) = (true, false),
            HandSetting::Disabled => (set.enabled, draining) = (false, false),
            HandSetting::Draining => (set.enabled, draining) = (false, true),
        }
        set.weight = if set.enabled { set.set_weight } else { Weight::ZERO };
        let differs = draining || (set.set_weight, set.enabled) != (file.weight, file.enabled);
        set.by_hand = differs.then_some(ByHand { draining, ..file });
        set
    }

    /// Whether it has the same state and weight as `other`.
    pub fn is_set_as(&self, other: &Upstream) -> bool {
        let set = |one: &Upstream| (one.set_weight, one.enabled, one.is_draining());
        set(self) == set(other)
    }

    /// Somebody has it drain.
    pub fn is_draining(&self) -> bool {
        self.by_hand.is_some_and(|by_hand| by_hand.draining)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::config::tests::parse_json;

    fn upstream(enabled: bool) -> Arc<Upstream> {
        let all = json!({ "upstream_proxies": [
            { "url": "http://a:1", "weight": 3, "enabled": enabled }, { "url": "http://b:1" },
        ] });
        Arc::clone(&parse_json(&all).unwrap().upstreams[0])
    }

    fn weight(number: u32) -> HandSetting {
        HandSetting::Weight(Weight::new(number).unwrap())
    }

    /// Share of picks, whether it drains, and whether it differs from the file.
    fn state(upstream: &Upstream) -> (u32, bool, bool) {
        (upstream.weight.get(), upstream.is_draining(), upstream.by_hand.is_some())
    }

    #[test]
    fn what_is_set_by_hand_differs_from_the_file_until_it_is_set_back() {
        let file = upstream(true);
        let disabled = file.with(HandSetting::Disabled);
        assert_eq!((state(&disabled), disabled.enabled), ((0, false, true), false));
        let weighted = disabled.with(weight(5));
        assert_eq!(state(&weighted), (0, false, true), "its weight waits until it is enabled");
        assert_eq!(state(&weighted.with(HandSetting::Enabled)), (5, false, true));
        assert_eq!(state(&file.with(weight(0))), (0, false, true));
        assert_eq!(weighted.with(HandSetting::Enabled).with(weight(3)), *file);
        assert_eq!(disabled.with(HandSetting::Enabled), *file);
    }

    #[test]
    fn a_drain_ends_with_any_other_state_and_not_with_a_weight() {
        let draining = upstream(true).with(HandSetting::Draining);
        assert_eq!(state(&draining), (0, true, true));
        assert_eq!(state(&draining.with(weight(9))), (0, true, true));
        assert_eq!(state(&draining.with(HandSetting::Disabled)), (0, false, true));
        assert_eq!(draining.with(HandSetting::Enabled), *upstream(true));
    }

    #[test]
    fn one_that_the_file_disables_has_its_weight_once_it_is_enabled() {
        let file = upstream(false);
        let enabled = file.with(HandSetting::Enabled);
        assert_eq!(state(&enabled), (3, false, true));
        let expected = ByHand { weight: Weight::new(3).unwrap(), enabled: false, draining: false };
        assert_eq!(enabled.by_hand, Some(expected));
        assert_eq!(enabled.with(HandSetting::Disabled), *file);
        assert_eq!(state(&file.with(HandSetting::Draining)), (0, true, true));
    }
}
