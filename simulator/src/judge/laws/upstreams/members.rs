//! The law `members`: those who take their turns are the upstreams with a weight, without the ejected ones.

use std::collections::BTreeMap;
use std::time::Duration;

use proxy::config::Config;

use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::history::History;
use crate::judge::laws::law::{Check, Law};
use crate::judge::laws::upstreams::shares::gcd;
use crate::judge::requests::ProxyProcess;
use crate::judge::violation::Violation;
use crate::record::ProxyEvent;

pub(in crate::judge) const LAW: Law = Law {
    name: "members",
    text: "The members of an epoch are the upstreams to which the configuration gives a weight, each with its own, without those \
           that are ejected.",
    check: Check::Inside(check),
};

/// How much later than the file a reload may come, for each bit by which an engine may be late.
const RELOADED_LATER: u32 = 4;

type Members<'a> = BTreeMap<&'a str, u64>;

fn check(history: &History<'_>) -> Checked {
    let mut checked = Checked::default();
    for process in &history.processes {
        process_of(history, process, &mut checked);
    }
    checked
}

fn process_of<'a>(history: &History<'a>, process: &ProxyProcess<'a>, checked: &mut Checked) {
    let mut members: Option<(usize, Members<'_>)> = None;
    let mut out: Vec<(&str, Duration)> = Vec::new();
    let mut changed = None;
    for (line, at, event) in history.proxy_lines(process) {
        // Several upstreams may be ejected at one instant, and each is told of in turn.
        if let Some((_, then)) = changed.filter(|(_, then)| at > *then + history.witnesses.clock_skew) {
            checked.add(judge(history, members.as_ref(), &mut out, then));
            changed = None;
        }
        match event {
            ProxyEvent::EpochStarted { members: now, .. } => {
                let mut weights = Members::new();
                for (name, weight) in now {
                    *weights.entry(name.as_str()).or_default() += u64::from(*weight);
                }
                members = Some((line, weights));
            }
            // A suspicion takes it out of rotation, and an ejection may confirm that.
            ProxyEvent::Suspected { upstream, .. } | ProxyEvent::Ejected { upstream, .. } => {
                out.retain(|(name, _)| *name != upstream.as_str());
                out.push((upstream.as_str(), at));
            }
            ProxyEvent::Recovered { upstream, .. } => out.retain(|(name, _)| *name != upstream.as_str()),
            ProxyEvent::Reloaded { .. } | ProxyEvent::Steered { .. } => {}
            _ => continue,
        }
        changed = Some((line, at));
    }
    if let Some((_, then)) = changed {
        checked.add(judge(history, members.as_ref(), &mut out, then));
    }
}

fn judge(
    history: &History<'_>,
    members: Option<&(usize, Members<'_>)>,
    out: &mut Vec<(&str, Duration)>,
    at: Duration,
) -> Case {
    out.retain(|(name, since)| !history.removed(name, *since, at));
    let Some((line, members)) = members else { return Case::Excused(Excuse::Untold) };
    let witnesses = &history.witnesses;
    let mut configs = witnesses.configurations.during(at.saturating_sub(witnesses.tolerance * RELOADED_LATER), at);
    let newest = witnesses.configurations.at(at);
    if out.iter().any(|(name, _)| newest.upstreams.iter().filter(|one| one.host == *name).count() > 1) {
        return Case::Excused(Excuse::Untold);
    }
    let wanted = |config: &Config| -> BTreeMap<String, u64> {
        let mut wanted = BTreeMap::new();
        for one in config.upstreams.iter().filter(|one| one.weight.get() > 0) {
            if out.iter().all(|(name, _)| *name != one.host) {
                *wanted.entry(one.host.clone()).or_default() += u64::from(one.weight.get());
            }
        }
        wanted
    };
    let told: BTreeMap<String, u64> = members.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect();
    let text = || format!("the members are {told:?}, but should be {:?}", wanted(newest));
    // A reload that multiplies all weights changes no turn, so that the epoch goes on.
    let same = |wanted: &BTreeMap<String, u64>| reduced(wanted) == reduced(&told);
    Case::of((!configs.any(|config| same(&wanted(config)))).then(|| Violation::found(text(), [*line])))
}

/// The weights without their greatest common divisor.
fn reduced(weights: &BTreeMap<String, u64>) -> BTreeMap<&str, u64> {
    let divisor = weights.values().copied().fold(0, gcd).max(1);
    weights.iter().map(|(name, weight)| (name.as_str(), weight / divisor)).collect()
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ProxyEvent, What};

    fn last_epoch(twin: &mut Twin) -> &mut Vec<(crate::scenario::HostName, u32)> {
        let lines = twin.record.trace.lines.iter_mut().rev();
        let mut epochs = lines.filter_map(|line| match &mut line.what {
            What::Proxy(ProxyEvent::EpochStarted { members, .. }) => Some(members),
            _ => None,
        });
        epochs.next().unwrap()
    }

    #[test]
    fn weights_that_are_a_multiple_of_the_former_start_no_epoch() {
        let doubled = r#"{ "name": "doubled", "story": "A reload doubles all weights.", "duration": "4s",
            "upstreams": [{ "name": "a" }, { "name": "b" }], "clients": [{ "name": "client", "do": "echo", "rate": 5 }],
            "timeline": [{ "at": "2s", "do": "reload", "proxy": { "upstream_proxies": [
                { "url": "http://a:8080", "weight": 2 }, { "url": "http://b:8080", "weight": 2 }] } }] }"#;
        let twin = Twin::of_scenario(&LAW, doubled);
        let reloads =
            twin.record.trace.lines.iter().filter(|line| matches!(line.what, What::Proxy(ProxyEvent::Reloaded { .. })));
        assert_eq!(reloads.count(), 1);
    }

    #[test]
    fn fires_where_one_is_missing_has_another_weight_or_is_ejected_and_still_there() {
        let mut twin = Twin::of_ejection(&LAW);
        last_epoch(&mut twin).pop();
        twin.fires();
        let mut twin = Twin::of_ejection(&LAW);
        last_epoch(&mut twin)[0].1 = 7;
        twin.fires();
        let mut twin = Twin::of_ejection(&LAW);
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Ejected { .. })));
        twin.record.trace.lines.remove(at + 1);
        twin.fires();
    }
}
