//! What a scenario asks of the proxy, and a subject may lack.

use std::collections::BTreeSet;

use loadgen::ActionKind;
use proxy::config::{Authentication, Config, Password, Transport};

use super::feature::Feature;
use super::folder::Subject;
use crate::scenario::{Action, Client, ConfigFile, PROXY, Scenario};

impl Subject {
    /// Everything that `scenario` asks for and this subject can't do. Each text begins with the place in the scenario file and says why.
    pub fn unsupported(&self, scenario: &Scenario) -> Vec<String> {
        let refused = wants(scenario).into_iter().filter_map(|(place, feature)| {
            let why = self.lacks(feature)?;
            Some(format!("{place}: {} lacks {feature}: {why}", self.file().title))
        });
        refused.chain(self.foreign(scenario)).collect()
    }

    /// What means something to netdrift alone: a configuration that is broken on purpose, and what its operators set by hand.
    fn foreign(&self, scenario: &Scenario) -> Vec<String> {
        if self.tells() {
            return Vec::new();
        }
        let title = &self.file().title;
        let hashed = configurations(scenario).into_iter().filter_map(|(place, config)| {
            let text = || {
                format!("{place}.authentication.users: {title} can't be told a password of which only a hash is known")
            };
            has_hashed_users(&config).then(text)
        });
        let pages = configurations(scenario).into_iter().filter_map(|(place, config)| {
            let text = || format!("{place}.admin: {title} has no listener of its own for the pages of netdrift");
            config.admin.is_some().then(text)
        });
        let entries = scenario.timeline.iter().enumerate();
        let foreign = entries.filter_map(|(index, entry)| match &entry.action {
            Action::Reload { proxy, text, .. }
                if text.is_some() || ConfigFile::complete(proxy, scenario).config.is_err() =>
            {
                Some((index, "can't read a broken configuration of netdrift"))
            }
            Action::Steer { .. } => Some((index, "has no operator who sets it as netdrift is set")),
            Action::CloseTunnels { .. } => {
                Some((index, "has no operator who closes its tunnels as netdrift's are closed"))
            }
            _ => None,
        });
        foreign.map(|(index, why)| format!("timeline[{index}]: {title} {why}")).chain(hashed).chain(pages).collect()
    }
}

/// The configurations that `scenario` gives its proxy and that can be read, each with its place.
fn configurations(scenario: &Scenario) -> Vec<(String, Config)> {
    let first = ("proxy".to_owned(), ConfigFile::first(scenario, PROXY));
    let entries = scenario.timeline.iter().enumerate();
    let later = entries.filter_map(|(index, entry)| match &entry.action {
        Action::Reload { proxy, text: None, .. } => {
            Some((format!("timeline[{index}].proxy"), ConfigFile::complete(proxy, scenario)))
        }
        _ => None,
    });
    [first].into_iter().chain(later).filter_map(|(place, file)| Some((place, file.config.ok()?))).collect()
}

fn has_hashed_users(config: &Config) -> bool {
    match &config.authentication {
        Authentication::Off => false,
        Authentication::Basic { users, .. } => users.iter().any(|user| !matches!(user.password, Password::Plain(_))),
    }
}

/// The features that `scenario` asks for, each with its place.
fn wants(scenario: &Scenario) -> Vec<(String, Feature)> {
    let mut wanted = Vec::new();
    for (place, config) in configurations(scenario) {
        of_configuration(&place, &config, scenario, &mut wanted);
    }
    for (index, client) in scenario.clients.iter().enumerate() {
        wanted.extend(of_client(client).into_iter().map(|feature| (format!("clients[{index}].do"), feature)));
    }
    for (index, entry) in scenario.timeline.iter().enumerate() {
        let place = format!("timeline[{index}]");
        match &entry.action {
            Action::Reload { .. } => wanted.push((place, Feature::Reload)),
            Action::Drain { .. } => wanted.push((place, Feature::Drain)),
            _ => {}
        }
    }
    wanted
}

/// What a client asks of a proxy beyond CONNECT.
fn of_client(client: &Client) -> BTreeSet<Feature> {
    let asked = client.actions().filter_map(|action| match &action.value().action.kind {
        ActionKind::Http { .. } | ActionKind::Websocket { .. } => Some(Feature::PlainHttp),
        ActionKind::Page { .. } => Some(Feature::HealthPages),
        ActionKind::Abuse { .. } => Some(Feature::HeaderTimeout),
        _ => None,
    });
    asked.collect()
}

fn of_configuration(place: &str, config: &Config, scenario: &Scenario, wanted: &mut Vec<(String, Feature)>) {
    let mut want = |asked: bool, field: &str, feature| {
        if asked {
            wanted.push((format!("{place}.{field}"), feature));
        }
    };
    let used: Vec<_> = config.upstreams.iter().filter(|upstream| upstream.weight.get() > 0).collect();
    want(used.len() > 1, "upstream_proxies", Feature::SeveralUpstreams);
    want(used.iter().any(|one| one.weight != used[0].weight), "upstream_proxies", Feature::Weights);
    let tls = |transport: &Transport| matches!(transport, Transport::Tls { .. });
    want(used.iter().any(|one| tls(&one.transport)), "upstream_proxies", Feature::HttpsUpstreams);
    want(used.iter().any(|one| one.credentials.is_some()), "upstream_proxies", Feature::UpstreamCredentials);
    want(config.authentication != Authentication::Off, "server", Feature::ClientAuthentication);
    // The director fills a limit in that no scenario comes near.
    let limits = &scenario.proxy["limits"]["max_connections"];
    want(!limits.is_null(), "limits.max_connections", Feature::ConnectionLimit);
}

#[cfg(test)]
mod tests {
    use crate::scenario;
    use crate::subject::named;

    #[test]
    fn what_a_scenario_asks_for_and_a_subject_lacks_is_refused_by_name() {
        let asks = |subject: &str, more: &str| {
            let text = format!(r#"{{"name": "x", "story": "x", "duration": "9s", {more}}}"#);
            named(subject).unwrap().unsupported(&scenario::parse(&text).unwrap())
        };
        const CLIENTS: &str = r#""clients": [{"name": "k", "do": "echo", "requests": 1}]"#;
        let plain = format!(r#""upstreams": [{{"name": "a"}}], {CLIENTS}"#);
        let several = format!(r#""upstreams": [{{"name": "a"}}, {{"name": "b"}}], {CLIENTS}"#);
        assert_eq!(asks("tinyproxy", &plain), [""; 0]);
        assert_eq!(asks("haproxy", &several), [""; 0]);
        let refused = asks("tinyproxy", &several);
        assert!(refused[0].starts_with("proxy.upstream_proxies: Tinyproxy lacks several-upstreams: "), "{refused:?}");
        let pages =
            r#""upstreams": [{"name": "a"}], "clients": [{"name": "k", "do": "page:path=/healthz", "requests": 1}]"#;
        let refused = asks("squid", pages);
        assert!(refused[0].starts_with("clients[0].do: Squid lacks health-pages: "), "{refused:?}");
        assert_eq!(asks("netdrift", pages), [""; 0]);
        let broken = format!(r#"{plain}, "timeline": [{{"at": "1s", "do": "reload", "text": "oh"}}]"#);
        let refused = asks("haproxy", &broken);
        assert_eq!(refused.last().unwrap(), "timeline[0]: HAProxy can't read a broken configuration of netdrift");
        assert_eq!(asks("netdrift", &broken), [""; 0]);
        let users = |password: &str| {
            let user = format!(r#"{{"username": "k", "password": "{password}"}}"#);
            format!(r#""proxy": {{"authentication": {{"enabled": true, "users": [{user}]}}}}, {plain}"#)
        };
        let hash = "$2b$04$ZzhYf2fRyGkJgCZBeMiUCOu4Mx3Bx6hcAlCqcGyJYLbR6ZqJ1mEYe";
        let refused = asks("haproxy", &users(hash));
        assert!(refused[0].starts_with("proxy.authentication.users: HAProxy can't be told a password"), "{refused:?}");
        assert_eq!((asks("haproxy", &users("p")), asks("netdrift", &users(hash))), (Vec::new(), Vec::new()));
        let pages = format!(r#""proxy": {{"admin": {{"listen_address": ":9100"}}}}, {plain}"#);
        let refused = asks("haproxy", &pages);
        assert_eq!(refused, ["proxy.admin: HAProxy has no listener of its own for the pages of netdrift"]);
        let steered = r#""timeline": [{"at": "1s", "do": "steer", "upstream": "a", "order": "disable"}]"#;
        let steered = format!("{plain}, {steered}");
        let refused = asks("haproxy", &steered);
        assert_eq!(refused, ["timeline[0]: HAProxy has no operator who sets it as netdrift is set"]);
        assert_eq!(asks("netdrift", &steered), [""; 0]);
    }
}
