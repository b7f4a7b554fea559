//! A disturbance is what the scenario did to a host or a link; it excuses for a while what the host does.

use std::collections::BTreeSet;
use std::time::Duration;

use proxy::config::Config;

use crate::scenario::{Action, PROXY, Scenario};

/// How long a disturbance may have effects after it has ended: lost packets are sent again for that long.
pub(super) const AFTERMATH: Duration = Duration::from_secs(5);

/// A loss up to this share excuses nothing, since the packets are sent again.
const HARMLESS_LOSS: f64 = 0.05;
/// A delay up to this excuses nothing.
const HARMLESS_DELAY: Duration = Duration::from_millis(500);

/// A time during which something was done to somebody.
#[derive(Clone, Debug)]
struct Disturbance<'a> {
    /// The hosts that it touches; a disturbed link touches both its ends.
    hosts: BTreeSet<&'a str>,
    from: Duration,
    until: Duration,
}

impl Disturbance<'_> {
    fn touches(&self, host: &str) -> bool {
        self.hosts.contains(host)
    }

    fn overlaps(&self, from: Duration, until: Duration) -> bool {
        self.from <= until && from <= self.until
    }
}

/// All disturbances of a run.
#[derive(Debug, Default)]
pub(super) struct Disturbances<'a> {
    all: Vec<Disturbance<'a>>,
    upstreams: BTreeSet<&'a str>,
}

impl<'a> Disturbances<'a> {
    /// Those of `scenario`, whose proxy starts with `config`. Everything is healed at `liveness`.
    pub(super) fn new(scenario: &'a Scenario, config: &Config, liveness: Duration) -> Self {
        let end = Duration::MAX;
        // A disturbance lasts until its link is healed or its host is started again.
        let mut open: Vec<Disturbance<'a>> = Vec::new();
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
            for disturbance in &mut open {
                if !ends.is_empty() && disturbance.until == end && disturbance.hosts.is_subset(&ends) {
                    disturbance.until = at + AFTERMATH;
                }
            }
            if let Some(hosts) = begins {
                let until = if matches!(entry.action, Action::Restart { .. }) { at + AFTERMATH } else { end };
                open.push(Disturbance { hosts, from: at, until });
            }
        }
        for upstream in &scenario.upstreams {
            let hosts = BTreeSet::from([upstream.name.as_str()]);
            let slow = upstream.latency.is_some_and(|latency| latency.get() * 2 > config.timeouts.reply);
            if slow || !credentials_fit(config, &upstream.name, upstream.auth.as_deref()) {
                open.push(Disturbance { hosts, from: Duration::ZERO, until: end });
            } else if let Ok(plan) = upstream.fault_plan(0) {
                // The windows of a plan are short and many, so its upstream is excused from the first of them on.
                let armings = scenario.timeline.iter().filter_map(|entry| match &entry.action {
                    Action::Arm { upstream: whose, .. } if *whose == upstream.name => Some(entry.at.get()),
                    _ => None,
                });
                let armed = plan.entries().iter().filter(|entry| entry.armed).map(|entry| entry.when.from);
                if let Some(from) = armings.chain(armed).min() {
                    open.push(Disturbance { hosts, from, until: end });
                }
            }
        }
        for disturbance in &mut open {
            // Everything is healed then.
            disturbance.until = disturbance.until.min(liveness + AFTERMATH);
        }
        if scenario.network.loss > HARMLESS_LOSS {
            open.push(Disturbance { hosts: all_hosts(scenario), from: Duration::ZERO, until: liveness + AFTERMATH });
        }
        let upstreams = scenario.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
        Disturbances { all: open, upstreams }
    }

    /// Whether anything was done to `host`, or still had effects, at some time from `from` to `until`.
    pub(super) fn of_host(&self, host: &str, from: Duration, until: Duration) -> bool {
        self.all.iter().any(|one| one.touches(host) && one.overlaps(from, until))
    }

    /// The same of the link between the proxy and `host`.
    pub(super) fn of_link(&self, host: &str, from: Duration, until: Duration) -> bool {
        self.all.iter().any(|one| one.touches(host) && one.touches(PROXY) && one.overlaps(from, until))
    }

    /// The same of the proxy itself: what was done to its link to a single upstream does not count.
    pub(super) fn of_proxy(&self, from: Duration, until: Duration) -> bool {
        self.all.iter().any(|one| {
            let only_upstream_side = one.hosts.len() == 2 && one.hosts.iter().any(|host| self.upstreams.contains(host));
            one.touches(PROXY) && !only_upstream_side && one.overlaps(from, until)
        })
    }
}

/// Whether the proxy has the credentials that `upstream` asks for.
fn credentials_fit(config: &Config, upstream: &str, asked: Option<&str>) -> bool {
    let Some(asked) = asked else { return true };
    let known = config.upstreams.iter().filter(|one| one.host == upstream);
    known
        .filter_map(|one| one.credentials.as_ref())
        .any(|credentials| asked == format!("{}:{}", credentials.username, credentials.password.expose()))
}

fn all_hosts(scenario: &Scenario) -> BTreeSet<&str> {
    let upstreams = scenario.upstreams.iter().map(|upstream| upstream.name.as_str());
    let clients = scenario.clients.iter().map(|client| client.name.as_str());
    [PROXY].into_iter().chain(upstreams).chain(clients).collect()
}
