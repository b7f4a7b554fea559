//! Names everything in a scenario that loopback can't do.

use crate::scenario::{Action, Chance, Network, Scenario};

/// Everything in `scenario` that needs a simulated network, by its word in the file.
///
/// Every latency and jitter is refused, however small: loopback has none, and figures of a run that ignored them would be wrong.
/// The defaults of `network` are ignored, since the scenario does not ask for them.
pub(super) fn on_loopback(scenario: &Scenario) -> Vec<String> {
    let usual = Network::default();
    let Network { tick: _, latency, jitter, loss, reorder, bytes_per_second, links, dns } = &scenario.network;
    let network = [
        (*latency != usual.latency || *jitter != usual.jitter, "network.latency and jitter: loopback delays nothing"),
        (*loss > 0.0, "network.loss: loopback loses no packet"),
        (reorder.is_some(), "network.reorder: loopback keeps packets in order"),
        (bytes_per_second.is_some(), "network.bytes_per_second: loopback has no bandwidth to limit"),
        (!links.is_empty(), "network.links: every link of loopback is like the others"),
        (!dns.is_empty(), "network.dns: names lead where the machine's resolver says"),
    ];
    let several =
        "further_proxies: on loopback an upstream can't tell proxies apart, whose connections all come from 127.0.0.1";
    let proxies = (!scenario.further_proxies.is_empty(), several);
    let chance = (scenario.chance != Chance::default(), "chance: a real machine leaves to chance what it likes");
    let asked = network.into_iter().chain([chance, proxies]).filter(|(asked, _)| *asked).map(|(_, why)| why.to_owned());
    let mut all: Vec<String> = asked.collect();
    for (index, entry) in scenario.timeline.iter().enumerate() {
        if let Some(why) = refusal(&entry.action) {
            all.push(format!("timeline[{index}]: {why}"));
        }
    }
    all
}

fn refusal(action: &Action) -> Option<&'static str> {
    match action {
        Action::Partition { .. } => Some("partition: loopback can't be cut"),
        Action::PartitionOneWay { .. } => Some("partition-one-way: loopback can't be cut"),
        Action::Hold { .. } => Some("hold: loopback can't be held"),
        Action::Loss { .. } => Some("loss: loopback loses no packet"),
        Action::Delay { .. } => Some("delay: loopback delays nothing"),
        Action::ClockJump { .. } => Some("clock-jump: the clock is the machine's"),
        Action::Dns { .. } => Some("dns: names lead where the machine's resolver says"),
        // Links of loopback are never cut, so there is nothing to heal, and `heal` can be ignored.
        Action::Heal { .. }
        | Action::Crash { .. }
        | Action::Restart { .. }
        | Action::Reload { .. }
        | Action::Steer { .. }
        | Action::CloseTunnels { .. }
        | Action::Drain { .. }
        | Action::Arm { .. }
        | Action::Disarm { .. } => None,
    }
}
