//! The law `returned`: once everything is healed, every upstream with a weight is eligible again within its longest back-off.

use crate::judge::checked::{Case, Checked};
use crate::judge::history::History;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::record::{ScenarioEvent, What};

pub(in crate::judge) const LAW: Law = Law {
    name: "returned",
    text: "Once everything is healed, every upstream with a weight that serves is eligible again by the end of its longest back-off.",
    check: Check::Told(check),
};

fn check(history: &History<'_>) -> Checked {
    let mut checked = Checked::default();
    for (place, line) in history.lines.iter().enumerate() {
        let What::Scenario(ScenarioEvent::Converged { eligible, missing, .. }) = &line.what else { continue };
        let witnesses = &history.witnesses;
        let config = witnesses.configurations.at(line.at());
        for (name, back) in eligible.iter().map(|one| (one, true)).chain(missing.iter().map(|one| (one, false))) {
            let hosts = witnesses.configurations.hosts_of(name.as_str(), line.at(), line.at());
            let mut entries = config.upstreams.iter().filter(|one| one.host == name.as_str());
            // One that does not serve whoever comes as the configuration says never comes back.
            if !entries.all(|one| hosts.iter().all(|host| witnesses.serves(one, host, config))) {
                continue;
            }
            let excuse = hosts.iter().find_map(|host| witnesses.disturbances.of_upstream(host, line.at(), line.at()));
            checked.add(match excuse {
                Some(why) => Case::Excused(why),
                None => Case::of((!back).then(|| {
                    Violation::found(format!("everything was healed, but {name} has not come back"), [place])
                })),
            });
        }
    }
    checked
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ScenarioEvent, What};

    fn lose(twin: &mut Twin) {
        for line in &mut twin.record.trace.lines {
            if let What::Scenario(ScenarioEvent::Converged { eligible, missing, .. }) = &mut line.what {
                missing.extend(eligible.pop());
            }
        }
    }

    #[test]
    fn fires_where_one_does_not_come_back() {
        let mut twin = Twin::of_ejection(&LAW);
        lose(&mut twin);
        twin.fires();
    }

    #[test]
    fn a_link_that_stays_slow_excuses() {
        let slow = r#"{ "name": "slow", "story": "A link stays slow.", "duration": "2s", "upstreams": [{ "name": "a" }, { "name": "b" }],
            "network": { "links": [{ "between": ["proxy", "b"], "latency": "600ms" }] },
            "clients": [{ "name": "client", "do": "echo", "requests": 2 }] }"#;
        let mut twin = Twin::of_scenario(&LAW, slow);
        lose(&mut twin);
        twin.excuses(Excuse::UpstreamCutOff);
    }
}
