//! What was done to whom: links and processes by the timeline, the rest by the journals, which name the faults that struck each
//! listener, connection and request. This is the one place that says what excuses whom, and for how long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use faulty_upstream::Fault;
use faulty_upstream::fault::Family;
use mock_upstreams::journal::{Outcome, Record};

use super::journals::{ACCEPT_LATE, HostJournal, JournalEntry, Journals, fault_of};
use super::spans::Spans;
use crate::judge::excuse::Excuse;
use crate::scenario::{Action, Scenario};

/// How long a disturbed link or process may have effects after it was healed: lost packets are sent again for that long.
const AFTERMATH: Duration = Duration::from_secs(1);

/// A loss up to this share excuses nothing, since the packets are sent again.
const HARMLESS_LOSS: f64 = 0.05;
/// A delay up to this excuses nothing.
const HARMLESS_DELAY: Duration = Duration::from_millis(500);

/// What a fault may cost the request that it strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// Nothing: the proxy has to cope with it.
    Nothing,
    /// This attempt, before a byte of the answer; another upstream can take over.
    Attempt,
    /// The answer itself, or what comes behind it; nobody can take over.
    Answer,
}

/// Faults that cost a request nothing, or a second at most.
const HARMLESS: [&str; 9] =
    ["status-204", "informational", "http-1.0", "no-reason", "reply-first", "glued", "slice", "trailers", "drip"];

/// Faults that may do more harm with settings of their own than as they are. Few or short lines make a head that is good, and nothing
/// comes behind it.
const WORSE_IF_SET: [(&str, Harm); 6] = [
    (ACCEPT_LATE, Harm::Attempt),
    ("drip", Harm::Attempt),
    ("informational", Harm::Attempt),
    ("slice", Harm::Answer),
    ("many-lines", Harm::Answer),
    ("large-line", Harm::Answer),
];

fn harm_if_set(fault: &str) -> Option<Harm> {
    WORSE_IF_SET.iter().find(|(name, _)| *name == fault).map(|(_, harm)| *harm)
}

/// What `fault` may cost a request for a tunnel, or for plain HTTP.
pub fn harm_of(fault: &str, tunnel: bool) -> Harm {
    match (fault, tunnel) {
        ("early-200-reset" | "stalled-tunnel" | "two-replies", _) => return Harm::Answer,
        // Its body, or what belongs to none, comes in the place of what the target sends.
        ("length-on-200" | "chunked-on-200", true) | ("trailers", false) => return Harm::Answer,
        (harmless, _) if HARMLESS.contains(&harmless) => return Harm::Nothing,
        ("reused-close", _) => return Harm::Attempt,
        // A gateway's status may be tried elsewhere; any other is the target's as far as the proxy can tell.
        ("status-502" | "status-503" | "status-504" | "blame-shifting", _) => return Harm::Attempt,
        (status, false) if status.starts_with("status") || status == "redirect" => return Harm::Answer,
        _ => {}
    }
    match Fault::named(fault).map(|fault| fault.family) {
        Some(Family::Tunnel | Family::Plain) => Harm::Answer,
        _ => Harm::Attempt,
    }
}

/// What was done to whom.
#[derive(Debug, Default)]
pub struct Disturbances<'a> {
    proxy: &'a str,
    hosts: BTreeMap<&'a str, HostDisturbances>,
    stopped: Option<Duration>,
    /// When the proxy's machine did not do what it was asked for.
    machine: Spans<()>,
    /// Upstreams whose plans set what makes a fault worse.
    worse: BTreeSet<&'a str>,
}

/// What was done to one host.
#[derive(Debug, Default)]
struct HostDisturbances {
    process: Spans<()>,
    link: Spans<()>,
    listener: Spans<()>,
    connections: Spans<()>,
    /// Connections of which the journal does not tell the end, since the run ended before.
    untold: Spans<()>,
    /// Those of them of which it tells no request either.
    unasked: Spans<()>,
    /// While a request lasted that a harmful fault struck.
    requests: Spans<()>,
}

impl<'a> Disturbances<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        proxy: &'a str,
        played: &[(Duration, &'a Action)],
        journals: &Journals<'a>,
        machine_faults: &[(Duration, Duration)],
        liveness: Duration,
    ) -> Self {
        let upstreams = scenario.upstreams.iter().map(|upstream| upstream.name.as_str());
        let clients = scenario.clients.iter().map(|client| client.name.as_str());
        let drain = |action: &Action| matches!(action, Action::Drain { .. });
        let mut disturbances = Disturbances {
            proxy,
            hosts: BTreeMap::new(),
            machine: Spans::new(machine_faults.iter().map(|(from, until)| (*from, *until, ())).collect()),
            stopped: played.iter().find(|(_, action)| drain(action)).map(|(at, _)| *at),
            worse: worse_if_set(scenario),
        };
        for host in upstreams.clone().chain(clients.clone()).chain([proxy]) {
            let restarts = host == proxy || upstreams.clone().any(|one| one == host);
            let process = process(host, played, restarts.then_some(liveness));
            let link = link(scenario, (proxy, host), played, liveness);
            let of_host =
                HostDisturbances { process: Spans::new(process), link: Spans::new(link), ..Default::default() };
            disturbances.hosts.insert(host, of_host);
        }
        for (host, journal) in &journals.by_host {
            let listener = listener(host, journal, played);
            let untold = journal.connections.iter().filter(|one| one.closed.is_none());
            let untold = Spans::new(untold.map(|one| (one.opened, Duration::MAX, ())).collect());
            let unasked = journal.connections.iter().filter(|one| one.is_untold());
            let unasked = Spans::new(unasked.map(|one| (one.opened, Duration::MAX, ())).collect());
            let struck = journal
                .connections
                .iter()
                .filter(|one| one.faults.iter().any(|fault| harm_of(fault, true) != Harm::Nothing));
            let connections = struck.map(|one| (one.opened, one.closed.unwrap_or(Duration::MAX), ()));
            let connections = Spans::new(connections.collect());
            let struck = journal.requests.iter().filter(|entry| disturbances.harm(entry) != Harm::Nothing);
            let requests = Spans::new(struck.map(|entry| (entry.since, entry.at, ())).collect());
            if let Some(of_host) = disturbances.hosts.get_mut(host) {
                (of_host.listener, of_host.connections) = (Spans::new(listener), connections);
                (of_host.untold, of_host.unasked, of_host.requests) = (untold, unasked, requests);
            }
        }
        disturbances
    }

    /// The worst that the faults of a journal's entry may have cost its request.
    pub fn harm(&self, entry: &JournalEntry<'_>) -> Harm {
        let tunnel = entry.record.method == "CONNECT";
        // Only the opening of a tunnel can be said before the request is read. Any other answer then comes behind it, as if the target
        // had sent it, and so does what another fault writes.
        let first = entry.reply_came_first && !(tunnel && entry.is_success() && entry.record.faults.is_empty());
        // Nor can anybody take over where a fault answers with a success in the target's place.
        if first || (entry.is_success() && entry.record.outcome == Outcome::Faulted) {
            return Harm::Answer;
        }
        let worse = self.worse.contains(entry.host);
        let of_label = |label: &String| {
            let fault = fault_of(label);
            harm_if_set(fault).filter(|_| worse).unwrap_or_else(|| harm_of(fault, tunnel))
        };
        let late = harm_if_set(ACCEPT_LATE).filter(|_| worse && entry.was_read_late).unwrap_or(Harm::Nothing);
        entry.record.faults.iter().map(of_label).chain([late]).max().unwrap_or(Harm::Nothing)
    }

    /// What was done to the client on `host`, or still had effects, at some time from `from` to `until`.
    pub fn of_client(&self, host: &str, from: Duration, until: Duration) -> Option<Excuse> {
        let host = self.hosts.get(host)?;
        let killed = host.process.overlapping(from, until).map(|()| Excuse::ClientKilled);
        killed.or_else(|| host.link.overlapping(from, until).map(|()| Excuse::ClientCutOff))
    }

    /// The same of the process of the proxy and of its machine. What is done to its links is done to those at their other ends.
    pub fn of_proxy(&self, from: Duration, until: Duration) -> Option<Excuse> {
        let killed = self.hosts.get(self.proxy)?.process.overlapping(from, until).map(|()| Excuse::ProxyKilled);
        killed.or_else(|| self.machine.overlapping(from, until).map(|()| Excuse::MachineFault))
    }

    /// When the proxy was told to stop in the course of the story.
    pub fn stopped(&self) -> Option<Duration> {
        self.stopped
    }

    /// What was done to the upstream on `host` as a whole: to its process, its link or its listener.
    pub fn of_upstream(&self, host: &str, from: Duration, until: Duration) -> Option<Excuse> {
        let host = self.hosts.get(host)?;
        let killed = host.process.overlapping(from, until).map(|()| Excuse::UpstreamKilled);
        let cut_off = || host.link.overlapping(from, until).map(|()| Excuse::UpstreamCutOff);
        killed.or_else(cut_off).or_else(|| host.listener.overlapping(from, until).map(|()| Excuse::ListenerClosed))
    }

    /// Whether the process on `host` was killed at some time from `from` to `until`, so that what it had not told yet is lost.
    pub fn killed(&self, host: &str, from: Duration, until: Duration) -> bool {
        self.hosts.get(host).is_some_and(|host| host.process.overlapping(from, until).is_some())
    }

    /// Whether a fault struck a connection to the upstream on `host` that was open at some time from `from` to `until`.
    pub fn of_connections(&self, host: &str, from: Duration, until: Duration) -> Option<Excuse> {
        self.hosts.get(host)?.connections.overlapping(from, until).map(|()| Excuse::ConnectionStruck)
    }

    /// Anything that was done to the upstream on `host`, or to a connection or request there, from `from` to `until`.
    pub fn of_anything(&self, host: &str, from: Duration, until: Duration) -> Option<Excuse> {
        let struck = || self.hosts.get(host)?.requests.overlapping(from, until).map(|()| Excuse::RequestStruck);
        self.of_upstream(host, from, until).or_else(|| self.of_connections(host, from, until)).or_else(struck)
    }

    /// From when to when each of all that was done to `host`, or to a connection or request there, had effects; and each connection of
    /// which neither a request nor the end is told.
    pub fn all(&self, host: &str) -> impl Iterator<Item = (Duration, Duration)> {
        let host = self.hosts.get(host).into_iter();
        host.flat_map(|one| [&one.process, &one.link, &one.listener, &one.connections, &one.requests, &one.unasked])
            .flat_map(Spans::all)
    }

    /// The same of the proxy's machine.
    pub fn of_machine(&self) -> impl Iterator<Item = (Duration, Duration)> {
        self.machine.all()
    }

    /// How many connections to the upstream on `host`, and how many requests there, were struck at some time from `from` to `until`.
    pub fn strikes(&self, host: &str, from: Duration, until: Duration) -> usize {
        let Some(host) = self.hosts.get(host) else { return 0 };
        host.connections.count(from, until) + host.requests.count(from, until)
    }

    /// Whether a connection to the upstream on `host` was open at some time from `from` to `until` whose end nobody tells.
    pub fn untold(&self, host: &str, from: Duration, until: Duration) -> bool {
        self.hosts.get(host).is_some_and(|host| host.untold.overlapping(from, until).is_some())
    }

    /// The same of any upstream.
    pub fn any_untold(&self, from: Duration, until: Duration) -> bool {
        self.hosts.values().any(|host| host.untold.overlapping(from, until).is_some())
    }

    /// The same of a connection of which no request is told either.
    pub fn unasked(&self, host: &str, from: Duration, until: Duration) -> bool {
        self.hosts.get(host).is_some_and(|host| host.unasked.overlapping(from, until).is_some())
    }

    /// Whether the only thing that was done to the upstream on `host` is that its listener was closed all the time from
    /// `from` to `until`. Then it can't have got anything.
    pub fn only_refused(&self, host: &str, from: Duration, until: Duration) -> bool {
        self.hosts.get(host).is_some_and(|host| {
            host.listener.covers(from, until)
                && host.process.overlapping(from, until).is_none()
                && host.link.overlapping(from, until).is_none()
        })
    }
}

/// Whether a record was struck by one of `faults`.
pub(in crate::judge) fn struck_by(record: &Record, faults: &[&str]) -> bool {
    record.faults.iter().any(|label| faults.contains(&fault_of(label)))
}

fn worse_if_set(scenario: &Scenario) -> BTreeSet<&str> {
    let sets = |plan: &serde_json::Value| {
        let faults = plan.get("faults").and_then(serde_json::Value::as_array);
        faults.into_iter().flatten().any(|fault| {
            let name = fault.get("fault").and_then(serde_json::Value::as_str);
            name.is_some_and(|name| harm_if_set(name).is_some()) && fault.get("with").is_some()
        })
    };
    scenario.upstreams.iter().filter(|one| sets(&one.plan)).map(|one| one.name.as_str()).collect()
}

type Found = Vec<(Duration, Duration, ())>;

/// When the process on `host` was down, until it was started again and had settled; at `restarted` at the latest.
fn process(host: &str, played: &[(Duration, &Action)], restarted: Option<Duration>) -> Found {
    let mut found = Vec::new();
    let mut down = None;
    for (at, action) in played {
        match action {
            Action::Crash { host: whose } if whose == host => down = down.or(Some(*at)),
            Action::Restart { host: whose } if whose == host => {
                found.push((down.take().unwrap_or(*at), *at + AFTERMATH, ()));
            }
            _ => {}
        }
    }
    let until = restarted.map_or(Duration::MAX, |at| at + AFTERMATH);
    found.extend(down.map(|at| (at, until, ())));
    found
}

/// What may be wrong with a link, each since when.
#[derive(Default)]
struct Link {
    cut: Option<Duration>,
    lossy: Option<Duration>,
    slow: Option<Duration>,
}

/// When the link between the proxy and `host` was cut, lossy or slow.
fn link(scenario: &Scenario, (proxy, host): (&str, &str), played: &[(Duration, &Action)], liveness: Duration) -> Found {
    let network = &scenario.network;
    let is_pair = |(one, other): &(String, String)| (one == proxy && other == host) || (other == proxy && one == host);
    let own = network.links.iter().find(|link| is_pair(&link.between));
    let loss = own.and_then(|link| link.loss).unwrap_or(network.loss);
    let latency = own.and_then(|link| link.latency).unwrap_or(network.latency).get();
    let jitter = own.and_then(|link| link.jitter).unwrap_or(network.jitter).get();
    let start = |harmful: bool| harmful.then_some(Duration::ZERO);
    let mut now =
        Link { cut: None, lossy: start(loss > HARMLESS_LOSS), slow: start(latency + jitter > HARMLESS_DELAY) };
    let mut found = Vec::new();
    let set = |since: &mut Option<Duration>, harmful: bool, at: Duration, found: &mut Found| {
        if harmful {
            *since = since.or(Some(at));
        } else if let Some(since) = since.take() {
            found.push((since, at + AFTERMATH, ()));
        }
    };
    let concerns = |between: &Option<(String, String)>| between.as_ref().is_none_or(is_pair);
    for (at, action) in played {
        match action {
            Action::Partition { between } | Action::Hold { between } if is_pair(between) => {
                set(&mut now.cut, true, *at, &mut found);
            }
            Action::PartitionOneWay { from, to } if is_pair(&(from.clone(), to.clone())) => {
                set(&mut now.cut, true, *at, &mut found);
            }
            Action::Loss { between, share } if concerns(between) => {
                set(&mut now.lossy, *share > HARMLESS_LOSS, *at, &mut found);
            }
            Action::Delay { between, latency, jitter } if concerns(between) => {
                set(&mut now.slow, latency.get() + jitter.get() > HARMLESS_DELAY, *at, &mut found);
            }
            Action::Heal { between } if concerns(between) => {
                set(&mut now.cut, false, *at, &mut found);
                set(&mut now.lossy, false, *at, &mut found);
            }
            _ => {}
        }
    }
    // Everything but delays is healed then.
    set(&mut now.cut, false, liveness, &mut found);
    set(&mut now.lossy, false, liveness, &mut found);
    found.extend(now.slow.map(|since| (since, Duration::MAX, ())));
    found
}

/// When faults kept the listener of `host` closed or full. A process that is started again begins with an open one.
fn listener(host: &str, journal: &HostJournal<'_>, played: &[(Duration, &Action)]) -> Found {
    let kills = |action: &Action| matches!(action, Action::Crash { host: whose } | Action::Restart { host: whose } if whose == host);
    let killed = played.iter().filter(|(_, action)| kills(action)).map(|(at, _)| (*at, true));
    let mut changes: Vec<(Duration, bool)> = journal.listener.iter().copied().chain(killed).collect();
    changes.sort_by_key(|(at, _)| *at);
    let mut found = Vec::new();
    let mut closed = None;
    for (at, open) in changes {
        if !open {
            closed = closed.or(Some(at));
        } else if let Some(since) = closed.take() {
            found.push((since, at, ()));
        }
    }
    found.extend(closed.map(|since| (since, Duration::MAX, ())));
    found
}

#[cfg(test)]
mod tests {
    use faulty_upstream::CATALOGUE;

    use super::*;
    use crate::scenario;

    #[test]
    fn every_fault_that_is_named_here_exists() {
        let worse = WORSE_IF_SET.map(|(name, _)| name);
        let named = HARMLESS.iter().chain(&worse);
        for name in named.chain(&["early-200-reset", "stalled-tunnel", "two-replies", "reused-close"]) {
            assert!(Fault::named(name).is_some(), "{name}");
        }
        let harmful = |fault: &&Fault| harm_of(fault.name, true) != Harm::Nothing;
        assert_eq!(CATALOGUE.iter().filter(harmful).count(), CATALOGUE.len() - HARMLESS.len());
    }

    fn found(timeline: &str, of: impl Fn(&Scenario, &[(Duration, &Action)]) -> Found) -> Vec<(u64, u64)> {
        let text = format!(
            r#"{{"name": "x", "story": "x", "duration": "60s", "upstreams": [{{"name": "a"}}, {{"name": "b"}}],
            "clients": [{{"name": "c", "do": "echo", "requests": 1}}], "timeline": [{timeline}]}}"#
        );
        let scenario = scenario::parse(&text).unwrap();
        let played: Vec<_> = scenario.timeline.iter().map(|entry| (entry.at.get(), &entry.action)).collect();
        of(&scenario, &played).iter().map(|(from, until, ())| (from.as_secs(), until.as_secs())).collect()
    }

    #[test]
    fn a_link_is_disturbed_until_it_is_healed_and_touches_the_hosts_at_its_ends_alone() {
        let cut = r#"{"at": "1s", "do": "partition", "between": ["proxy", "a"]},
            {"at": "3s", "do": "heal", "between": ["proxy", "b"]}, {"at": "4s", "do": "heal"}"#;
        let of = |host: &'static str| {
            move |scenario: &Scenario, played: &[(Duration, &Action)]| {
                link(scenario, ("proxy", host), played, Duration::from_secs(60))
            }
        };
        assert_eq!(found(cut, of("a")), [(1, 5)]);
        assert_eq!(found(cut, of("b")), []);
        assert_eq!(found(cut, of("c")), []);
        let lossy = r#"{"at": "1s", "do": "loss", "share": 0.5}, {"at": "2s", "do": "loss", "share": 0.01}"#;
        assert_eq!(found(lossy, of("c")), [(1, 3)]);
        let never = r#"{"at": "1s", "do": "hold", "between": ["proxy", "a"]}"#;
        assert_eq!(found(never, of("a")), [(1, 61)], "everything is healed behind the story");
    }

    #[test]
    fn a_process_is_down_until_it_is_started_again_and_no_healed_link_starts_it() {
        let down = r#"{"at": "1s", "do": "crash", "host": "a"}, {"at": "2s", "do": "heal"},
            {"at": "3s", "do": "restart", "host": "a"}"#;
        assert_eq!(found(down, |_, played| process("a", played, None)), [(1, 4)]);
        assert_eq!(found(down, |_, played| process("b", played, None)), []);
    }

    #[test]
    fn a_listener_is_closed_until_the_journal_says_that_it_is_open() {
        let mut journal = HostJournal::default();
        journal.listener = vec![(Duration::from_secs(2), false), (Duration::from_secs(5), true)];
        assert_eq!(found("", |_, played| listener("a", &journal, played)), [(2, 5)]);
        let killed = r#"{"at": "3s", "do": "crash", "host": "a"}"#;
        assert_eq!(found(killed, |_, played| listener("a", &journal, played)), [(2, 3)]);
    }
}
