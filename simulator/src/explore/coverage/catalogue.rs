//! Everything that can happen in a run. The compiler helps: a new variant of the proxy's enumerations does not compile here until it is listed.

use std::collections::BTreeSet;

use faulty_upstream::CATALOGUE;

use crate::record::{ProxyEvent, words};
use crate::scenario::Action;

/// Something that can happen, by a name such as `rule/failed_alike` or `fault/refuse/ejected/drain`.
pub type Item = String;

/// What the proxy thinks of the upstream that a fault strikes.
const HEALTHS: [&str; 2] = ["eligible", "ejected"];
/// What the proxy is doing when a fault strikes.
const SITUATIONS: [&str; 4] = ["normal", "idle", "reload", "drain"];

/// The words of an enumeration, and the function that tells them. It does not compile unless each variant is listed.
macro_rules! words {
    ($(#[$doc:meta])* $list:ident, $word:ident($type:ty) { $($pattern:pat => $name:literal),* $(,)? }) => {
        $(#[$doc])*
        const $list: &[&str] = &[$($name),*];

        /// The word for one of them.
        pub(super) const fn $word(one: &$type) -> &'static str {
            match one { $($pattern => $name),* }
        }
    };
}

words! {
    /// What scenarios do.
    ACTIONS, action(Action) {
        Action::Partition { .. } => "partition",
        Action::PartitionOneWay { .. } => "partition-one-way",
        Action::Hold { .. } => "hold",
        Action::Heal { .. } => "heal",
        Action::Loss { .. } => "loss",
        Action::Delay { .. } => "delay",
        Action::Crash { .. } => "crash",
        Action::Restart { .. } => "restart",
        Action::Reload { .. } => "reload",
        Action::Steer { .. } => "steer",
        Action::CloseTunnels { .. } => "close-tunnels",
        Action::Drain { .. } => "drain",
        Action::ClockJump { .. } => "clock-jump",
        Action::Dns { .. } => "dns",
        Action::Arm { .. } => "arm",
        Action::Disarm { .. } => "disarm",
    }
}

/// What chance does to the proxy's machine.
const CHANCES: [&str; 5] = ["accept-error", "no-descriptor", "dns-failure", "dns-addresses", "offload-busy"];

/// Everything that can happen.
pub fn catalogue() -> BTreeSet<Item> {
    let mut all = BTreeSet::new();
    let mut add = |kind: &str, names: &mut dyn Iterator<Item = &str>| {
        all.extend(names.map(|name| format!("{kind}/{name}")));
    };
    add("action", &mut ACTIONS.iter().copied());
    add("event", &mut ProxyEvent::WORDS.iter().copied());
    add("chance", &mut CHANCES.iter().copied());
    add("failure", &mut words::failures().into_iter());
    add("rule", &mut words::rules().into_iter());
    add("blame", &mut words::blames().into_iter());
    add("end", &mut words::ends().into_iter());
    add("outcome", &mut words::outcomes().into_iter());
    for fault in CATALOGUE {
        for health in HEALTHS {
            for situation in SITUATIONS {
                all.insert(fault_item(fault.name, health, situation));
            }
        }
    }
    all
}

/// The fault strikes an upstream of that health in that situation of the proxy. When it strikes in the life of a connection follows from
/// the fault.
pub(super) fn fault_item(fault: &str, health: &str, situation: &str) -> Item {
    format!("fault/{fault}/{health}/{situation}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_has_every_fault_in_every_state() {
        let all = catalogue();
        let faults = all.iter().filter(|item| item.starts_with("fault/")).count();
        assert_eq!(faults, CATALOGUE.len() * HEALTHS.len() * SITUATIONS.len());
        for some in
            ["fault/refuse/ejected/drain", "event/recovered", "rule/failed_alike", "outcome/bare_lf", "end/idle"]
        {
            assert!(all.contains(some), "{some}");
        }
    }
}
