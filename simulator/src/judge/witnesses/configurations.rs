//! The configurations that the proxy was given, and where the names in them led.
//!
//! What an operator sets by hand makes another configuration of the one in force, until a file is read again.

use std::collections::BTreeSet;
use std::time::Duration;

use proxy::config::{Authentication, Config, Password, Upstream};

use crate::scenario::{Action, ConfigFile, Scenario};

/// The configurations that the proxy was given, each in force until the next.
#[derive(Debug)]
pub struct Configurations<'a> {
    all: Vec<(Duration, Config)>,
    reloads: Vec<(Duration, bool)>,
    /// Where names led from when on. The first that is given of a name holds from the start.
    names: Vec<(Duration, &'a str, &'a [String])>,
    hosts: BTreeSet<&'a str>,
}

impl<'a> Configurations<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        proxy: &str,
        played: &[(Duration, &'a Action)],
        liveness: Duration,
    ) -> Self {
        let first = ConfigFile::complete(&scenario.proxy, scenario)
            .config
            .expect("the configuration was checked with the scenario");
        let mut file = first.clone();
        let mut all = vec![(Duration::ZERO, first)];
        let from = |at| scenario.network.dns.iter().map(move |(name, hosts)| (at, name.as_str(), hosts.as_slice()));
        let mut names: Vec<_> = from(Duration::ZERO).collect();
        let mut reloads = Vec::new();
        let mut down = false;
        for (at, action) in played {
            match action {
                Action::Crash { host } if host == proxy => down = true,
                Action::Restart { host } if host == proxy => {
                    down = false;
                    // A new process knows nothing of what was set by hand.
                    if all.last().is_some_and(|(_, config)| *config != file) {
                        all.push((*at, file.clone()));
                    }
                }
                // A proxy that is down reads nothing, and the director does not keep the file for it.
                Action::Reload { proxy, text, .. } if !down => {
                    let config = match text {
                        Some(text) => ConfigFile::new(text.clone()),
                        None => ConfigFile::complete(proxy, scenario),
                    }
                    .config;
                    reloads.push((*at, config.is_ok()));
                    if let Ok(config) = config {
                        file.clone_from(&config);
                        all.push((*at, config));
                    }
                }
                Action::Steer { upstream, order, .. } if !down => {
                    let mut config = all.last().map_or(&file, |(_, config)| config).clone();
                    if order.set(upstream, &mut config) {
                        all.push((*at, config));
                    }
                }
                Action::Dns { name, hosts } => names.push((*at, name, hosts)),
                _ => {}
            }
        }
        // Behind the story names lead again where they led at first.
        names.extend(from(liveness));
        let hosts = scenario.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
        Configurations { all, reloads, names, hosts }
    }

    /// The configuration that the proxy started with.
    pub fn first(&self) -> &Config {
        &self.all[0].1
    }

    /// The port at which the proxy's own pages are, where they have a listener of their own. No reload changes that.
    pub fn port_of_pages(&self) -> Option<u16> {
        self.first().admin.as_ref().map(|admin| admin.listen.port())
    }

    /// The newest configuration that was given by `at`.
    pub fn at(&self, at: Duration) -> &Config {
        let place = self.all.partition_point(|(given, _)| *given <= at);
        &self.all[place.saturating_sub(1)].1
    }

    /// Those that were in force at some time from `from` to `until`.
    pub fn during(&self, from: Duration, until: Duration) -> impl Iterator<Item = &Config> {
        let first = self.all.partition_point(|(given, _)| *given <= from).saturating_sub(1);
        let behind = self.all.partition_point(|(given, _)| *given <= until).max(first + 1);
        self.all[first..behind].iter().map(|(_, config)| config)
    }

    /// Whether the same configuration was in force all the time from `from` to `until`.
    pub fn is_unchanged(&self, from: Duration, until: Duration) -> bool {
        self.during(from, until).count() == 1
    }

    /// When a running proxy was told to reload, and whether what it was given could be taken.
    pub fn reloads(&self) -> &[(Duration, bool)] {
        &self.reloads
    }

    /// When each was given.
    pub fn given(&self) -> impl Iterator<Item = (Duration, &Config)> {
        self.all.iter().map(|(at, config)| (*at, config))
    }

    /// The hosts that `name` led to at some time from `from` to `until`: a host's own name always to itself.
    pub fn hosts_of<'b>(&'b self, name: &'b str, from: Duration, until: Duration) -> BTreeSet<&'b str> {
        if let Some(host) = self.hosts.get(name) {
            return BTreeSet::from([*host]);
        }
        let mut hosts = BTreeSet::new();
        let changes: Vec<_> = self.names.iter().filter(|(_, whose, _)| *whose == name).collect();
        for (place, (since, _, to)) in changes.iter().enumerate() {
            let ended = changes.get(place + 1).map_or(Duration::MAX, |(at, ..)| *at);
            if *since <= until && ended >= from {
                hosts.extend(to.iter().map(String::as_str));
            }
        }
        hosts
    }

    /// When `name` last ceased to lead to `host` before `at`, and led to some other place from then on.
    pub fn left(&self, name: &str, host: &str, at: Duration) -> Option<Duration> {
        let changes: Vec<_> = self.names.iter().filter(|(since, whose, _)| *whose == name && *since <= at).collect();
        let leads = |to: &[String]| to.iter().any(|one| one == host);
        let pairs = changes.iter().zip(changes.iter().skip(1)).rev();
        let mut leaves = pairs.filter(|((.., before), (.., behind))| leads(before) && !leads(behind));
        leaves.next().map(|(_, (since, ..))| *since)
    }

    /// Whether `name` led to the same place all the time from `from` to `until`, and to some place at all.
    pub fn is_settled(&self, name: &str, from: Duration, until: Duration) -> bool {
        if self.hosts.contains(name) {
            return true;
        }
        let mut changes = self.names.iter().filter(|(_, whose, _)| *whose == name);
        let before = changes.clone().rfind(|(at, ..)| *at <= from).map_or(&[][..], |(.., to)| to);
        !before.is_empty() && !changes.any(|(at, _, to)| *at > from && *at <= until && *to != before)
    }

    /// Whether `name` is no host but leads where the scenario says.
    pub fn is_alias(&self, name: &str) -> bool {
        !self.hosts.contains(name)
    }

    /// Whether a client that comes with the credentials `user:password`, or with none, is let in by all configurations that were in
    /// force from `from` to `until` (`Some(true)`), or by none of them (`Some(false)`).
    pub fn admits(&self, pair: Option<&str>, from: Duration, until: Duration) -> Option<bool> {
        let mut answers = self.during(from, until).map(|config| admits(&config.authentication, pair));
        let first = answers.next()??;
        answers.all(|answer| answer == Some(first)).then_some(first)
    }
}

/// `None` where only the proxy could tell: a hash can't be compared here.
fn admits(authentication: &Authentication, pair: Option<&str>) -> Option<bool> {
    let Authentication::Basic { users, .. } = authentication else { return Some(true) };
    let Some((name, password)) = pair.and_then(|pair| pair.split_once(':')) else { return Some(false) };
    let Some(user) = users.iter().find(|user| user.name == name) else { return Some(false) };
    match &user.password {
        Password::Plain(secret) => Some(secret.expose() == password),
        Password::Bcrypt(_) | Password::Argon2(_) => None,
    }
}

/// Whether `upstream` has the credentials that its host asks for.
pub(super) fn credentials_fit(upstream: &Upstream, asked: Option<&str>) -> bool {
    let Some(asked) = asked else { return true };
    upstream.credentials.as_ref().is_some_and(|own| asked == format!("{}:{}", own.username, own.password.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    fn weights(actions: &str) -> Vec<(u64, Vec<u32>)> {
        let text = format!(
            r#"{{ "name": "x", "story": "x", "duration": "9s", "clients": [{{ "name": "c", "do": "echo", "rate": 1 }}],
            "upstreams": [{{ "name": "a" }}, {{ "name": "b" }}], "timeline": [{actions}] }}"#
        );
        let scenario = scenario::parse(&text).unwrap();
        let played: Vec<_> = scenario.timeline.iter().map(|entry| (entry.at.get(), &entry.action)).collect();
        let configurations = Configurations::new(&scenario, "proxy", &played, Duration::from_secs(9));
        let given = configurations.given();
        given.map(|(at, one)| (at.as_secs(), one.upstreams.iter().map(|one| one.weight.get()).collect())).collect()
    }

    #[test]
    fn what_is_set_by_hand_is_in_force_until_a_file_is_read() {
        let disabled = r#"{ "at": "1s", "do": "steer", "upstream": "a", "order": "disable" }"#;
        let weight = r#"{ "at": "2s", "do": "steer", "upstream": "b", "order": { "weight": 3 } }"#;
        let set = [(0, vec![1, 1]), (1, vec![0, 1]), (2, vec![0, 3])];
        let and = |more: &str| weights(&format!("{disabled}, {weight}, {more}"));
        let begin = |last: (u64, Vec<u32>)| set.iter().cloned().chain([last]).collect::<Vec<_>>();
        assert_eq!(and(r#"{ "at": "3s", "do": "reload", "proxy": {} }"#), begin((3, vec![1, 1])));
        assert_eq!(and(r#"{ "at": "4s", "do": "restart", "host": "proxy" }"#), begin((4, vec![1, 1])));
        assert_eq!(and(r#"{ "at": "5s", "do": "steer", "upstream": "a", "order": "enable" }"#), begin((5, vec![1, 3])));
        // What is so already changes nothing, nobody hears who is down, and a file that is refused is not read.
        let down = r#"{ "at": "6s", "do": "crash", "host": "proxy" }, { "at": "6s", "do": "steer", "upstream": "a", "order": "enable" }"#;
        for nothing in [disabled, down, r#"{ "at": "6s", "do": "reload", "text": "{" }"#] {
            assert_eq!(and(nothing), set);
        }
    }
}
