//! What was done to whom and when, and for how long it excuses what a host does.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{AFTERMATH, History};
use crate::scenario::{Action, PROXY, Scenario};
use crate::upstream;

/// Losses up to this share (in parts of a million) are made good by sending again, so they excuse nothing.
const HARMLESS_LOSS: f64 = 0.05;
/// A delay up to this excuses nothing.
const HARMLESS_DELAY: Duration = Duration::from_millis(500);

/// A time during which something was done to somebody.
#[derive(Clone, Debug)]
pub(super) struct Trouble<'a> {
    /// Whom; a link troubles both its ends.
    hosts: BTreeSet<&'a str>,
    from: Duration,
    until: Duration,
}

impl<'a> History<'a> {
    pub(super) fn note_troubles(&mut self) {
        let end = Duration::MAX;
        let scenario = self.scenario;
        // Until something opens a link again or starts a host again, its trouble lasts.
        let mut open: Vec<Trouble<'a>> = Vec::new();
        for entry in &scenario.timeline {
            let at = entry.at.get();
            let hosts = |between: &'a Option<(String, String)>| -> BTreeSet<&'a str> {
                match between {
                    Some((one, other)) => BTreeSet::from([one.as_str(), other.as_str()]),
                    None => all_hosts(scenario),
                }
            };
            let begins = match &entry.action {
                Action::Partition { between } | Action::Hold { between } => {
                    Some(BTreeSet::from([between.0.as_str(), between.1.as_str()]))
                }
                Action::PartitionOneWay { from, to } => Some(BTreeSet::from([from.as_str(), to.as_str()])),
                Action::Crash { host } => Some(BTreeSet::from([host.as_str()])),
                Action::Restart { host } => Some(BTreeSet::from([host.as_str()])),
                Action::Loss { between, share } if *share > HARMLESS_LOSS => Some(hosts(between)),
                Action::Delay { between, latency, jitter } if latency.get() + jitter.get() > HARMLESS_DELAY => {
                    Some(hosts(between))
                }
                _ => None,
            };
            let ends = match &entry.action {
                Action::Heal { between } => hosts(between),
                Action::Restart { host } => BTreeSet::from([host.as_str()]),
                _ => BTreeSet::new(),
            };
            for trouble in &mut open {
                if !ends.is_empty() && trouble.until == end && trouble.hosts.is_subset(&ends) {
                    trouble.until = at + AFTERMATH;
                }
            }
            if let Some(hosts) = begins {
                let until = if matches!(entry.action, Action::Restart { .. }) { at + AFTERMATH } else { end };
                open.push(Trouble { hosts, from: at, until });
            }
        }
        for upstream in &scenario.upstreams {
            let hosts = BTreeSet::from([upstream.name.as_str()]);
            let slow = upstream.latency.is_some_and(|latency| latency.get() * 2 > self.config.timeouts.reply);
            if slow || !self.credentials_fit(&upstream.name, upstream.auth.as_deref()) {
                open.push(Trouble { hosts, from: Duration::ZERO, until: end });
            } else if let Ok(plan) = upstream::read_plan(upstream, 0) {
                // A plan's windows are fine-grained; its upstream is excused from the first on.
                let armings = scenario.timeline.iter().filter_map(|entry| match &entry.action {
                    Action::Arm { upstream: whose, .. } if *whose == upstream.name => Some(entry.at.get()),
                    _ => None,
                });
                let armed = plan.entries().iter().filter(|entry| entry.armed).map(|entry| entry.when.from);
                if let Some(from) = armings.chain(armed).min() {
                    open.push(Trouble { hosts, from, until: end });
                }
            }
        }
        let liveness = self.liveness;
        for trouble in &mut open {
            // All is healed then.
            trouble.until = trouble.until.min(liveness + AFTERMATH);
        }
        if scenario.network.loss > HARMLESS_LOSS {
            open.push(Trouble { hosts: all_hosts(scenario), from: Duration::ZERO, until: liveness + AFTERMATH });
        }
        self.troubles = open;
    }

    fn credentials_fit(&self, upstream: &str, asked: Option<&str>) -> bool {
        let Some(asked) = asked else { return true };
        let known = self.config.upstreams.iter().filter(|one| one.host == upstream);
        known
            .filter_map(|one| one.credentials.as_ref())
            .any(|credentials| asked == format!("{}:{}", credentials.username, credentials.password.expose()))
    }

    /// Whether anything was done to `host`, or still had effects, at some time from `from` to `until`.
    pub fn troubled(&self, host: &str, from: Duration, until: Duration) -> bool {
        self.troubles
            .iter()
            .any(|trouble| trouble.hosts.contains(host) && trouble.from <= until && from <= trouble.until)
    }

    /// Whether the link between the proxy and `host` was in trouble, or still had effects, at some time from `from` to `until`.
    pub fn cut_off(&self, host: &str, from: Duration, until: Duration) -> bool {
        self.troubles.iter().any(|trouble| {
            trouble.hosts.contains(host)
                && trouble.hosts.contains(PROXY)
                && trouble.from <= until
                && from <= trouble.until
        })
    }

    /// The same as `troubled` for whatever host a pick of `name` may lead to.
    pub fn troubled_behind(&self, name: &str, from: Duration, until: Duration) -> bool {
        let hosts = self.scenario.upstreams.iter().map(|upstream| upstream.name.as_str());
        hosts.filter(|host| self.leads_to(name, host)).any(|host| self.troubled(host, from, until))
    }

    /// Whether the process on `host` was killed from `from` to `until`, and with it what it had not told.
    pub fn killed(&self, host: &str, from: Duration, until: Duration) -> bool {
        let kills = |action: &Action| matches!(action, Action::Crash { host: whose } | Action::Restart { host: whose } if whose == host);
        self.scenario.timeline.iter().any(|entry| (from..=until).contains(&entry.at.get()) && kills(&entry.action))
    }

    /// Whether anything was done to the proxy as such: killed, draining, or cut off from clients.
    pub fn proxy_troubled(&self, from: Duration, until: Duration) -> bool {
        let upstreams: BTreeSet<&str> = self.scenario.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
        let cut_off = self.troubles.iter().any(|trouble| {
            let only_upstream_side =
                trouble.hosts.iter().any(|host| upstreams.contains(host)) && trouble.hosts.len() == 2;
            trouble.hosts.contains(PROXY) && !only_upstream_side && trouble.from <= until && from <= trouble.until
        });
        cut_off || self.drains().any(|drain| drain <= until)
    }
}

fn all_hosts(scenario: &Scenario) -> BTreeSet<&str> {
    let upstreams = scenario.upstreams.iter().map(|upstream| upstream.name.as_str());
    let clients = scenario.clients.iter().map(|client| client.name.as_str());
    [PROXY].into_iter().chain(upstreams).chain(clients).collect()
}
