//! Says what a reload changes, in lines for people, and which changes have to wait for a restart.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::{Admin, Authentication, Config, Failover, Limits, ProcessFile, Server, Timeouts, Upstream, UpstreamKey};
use crate::core::health::HealthPolicy;

/// The difference between two configurations. No secret is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// What changes at once, one change a line.
    pub lines: Vec<String>,
    /// What changes only with a restart, one setting a line.
    pub restart_required: Vec<String>,
}

impl Diff {
    /// Nothing differs that anyone could notice.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.restart_required.is_empty()
    }
}

/// Notes `name: old → new` where the two differ.
fn note<T: PartialEq + Debug>(lines: &mut Vec<String>, name: &str, old: &T, new: &T) {
    if old != new {
        lines.push(format!("{name}: {old:?} → {new:?}"));
    }
}

/// Notes the fields of a section that differ. Every field is named, those that are noted elsewhere as well, so that a new
/// one can't be forgotten.
macro_rules! note_fields {
    ($lines:ident, $section:literal, $old:expr, $new:expr, $kind:ident { $($field:ident),+ }, elsewhere: [$($other:ident),*]) => {
        let $kind { $($field: _,)+ $($other: _,)* } = $old;
        $(note($lines, concat!($section, ".", stringify!($field)), &$old.$field, &$new.$field);)+
    };
}

/// What changes from `old` to `new`.
pub fn diff(old: &Config, new: &Config) -> Diff {
    let mut lines = Vec::new();
    upstreams(&mut lines, old, new);
    authentication(&mut lines, &old.authentication, &new.authentication);
    sections(&mut lines, old, new);
    Diff { lines, restart_required: restart_only(old, new) }
}

impl Config {
    /// Puts back what only a restart may change, so that the rest can apply to the running proxy which had `old`.
    /// Returns what was put back, one setting a line.
    ///
    /// Where the listen address has to stay and can be reached from outside, authentication that `old` had stays as
    /// well: the new configuration was found safe only for its own address.
    pub fn keep_restart_only(&mut self, old: &Config) -> Vec<String> {
        let mut kept = restart_only(old, self);
        let moved = old.server.listen != self.server.listen;
        let reachable = !old.server.listen.ip().to_canonical().is_loopback();
        if moved && reachable && self.authentication == Authentication::Off && old.authentication != Authentication::Off
        {
            self.authentication = old.authentication.clone();
            kept.push(format!("authentication: stays on while the proxy listens on {}", old.server.listen));
        }
        self.server.listen = old.server.listen;
        self.admin = match (&old.admin, self.admin.take()) {
            (Some(old), Some(new)) => Some(Admin { listen: old.listen, ..new }),
            (old, _) => old.clone(),
        };
        self.server.pid_file = old.server.pid_file.clone();
        self.server.control_socket = old.server.control_socket.clone();
        self.limits.max_connections = old.limits.max_connections;
        self.limits.remembered_requests = old.limits.remembered_requests;
        self.logging = old.logging.clone();
        self.flight_recorder = old.flight_recorder.clone();
        kept
    }
}

fn restart_only(old: &Config, new: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    let limit = |config: &Config| {
        config.limits.max_connections.map_or("from the descriptor limit".to_owned(), |most| most.to_string())
    };
    let remembered = |config: &Config| config.limits.remembered_requests.to_string();
    let admin = |config: &Config| config.admin.as_ref().map_or("none".to_owned(), |admin| admin.listen.to_string());
    let access = |config: &Config| {
        config.logging.access_format.as_ref().map_or("as logging.format".to_owned(), |format| format.to_string())
    };
    let recorder = |config: &Config| config.flight_recorder.as_ref().map_or("off".to_owned(), ToString::to_string);
    for (name, old, new) in [
        ("admin.listen_address", admin(old), admin(new)),
        ("server.listen_address", old.server.listen.to_string(), new.server.listen.to_string()),
        ("server.pid_file", place(&old.server.pid_file), place(&new.server.pid_file)),
        ("server.control_socket", place(&old.server.control_socket), place(&new.server.control_socket)),
        ("limits.max_connections", limit(old), limit(new)),
        ("limits.remembered_requests", remembered(old), remembered(new)),
        ("logging.format", format!("{:?}", old.logging.format), format!("{:?}", new.logging.format)),
        ("logging.access_format", access(old), access(new)),
        ("logging.level", old.logging.level.clone(), new.logging.level.clone()),
        ("logging to", old.logging.to.to_string(), new.logging.to.to_string()),
        ("flight_recorder", recorder(old), recorder(new)),
        (
            "logging.sample_successes",
            old.logging.sample_successes.to_string(),
            new.logging.sample_successes.to_string(),
        ),
    ] {
        if old != new {
            lines.push(format!("{name}: {old} → {new}"));
        }
    }
    lines
}

fn place(file: &ProcessFile) -> String {
    match file {
        ProcessFile::Default => "the default".to_owned(),
        ProcessFile::At(path) => path.display().to_string(),
        ProcessFile::Off => "none".to_owned(),
    }
}

fn upstreams(lines: &mut Vec<String>, old: &Config, new: &Config) {
    let by_key = |config: &Config| -> BTreeMap<UpstreamKey, _> {
        config.upstreams.iter().map(|upstream| (upstream.key(), upstream.clone())).collect()
    };
    let (before, after) = (by_key(old), by_key(new));
    for (key, upstream) in &before {
        if !after.contains_key(key) {
            lines.push(format!("upstream {} removed", named(upstream)));
        }
    }
    for (key, upstream) in &after {
        match before.get(key) {
            None => lines.push(format!("upstream {} added, weight {}", named(upstream), upstream.weight.get())),
            Some(previous) => upstream_changes(lines, previous, upstream),
        }
    }
}

fn named(upstream: &Upstream) -> String {
    match &upstream.credentials {
        Some(credentials) => format!("{} as {:?}", upstream.url, credentials.username),
        None => upstream.url.clone(),
    }
}

fn upstream_changes(lines: &mut Vec<String>, old: &Upstream, new: &Upstream) {
    let name = format!("upstream {}", named(new));
    match (old.enabled, new.enabled) {
        (true, false) => lines.push(format!("{name} disabled")),
        (false, true) => lines.push(format!("{name} enabled, weight {}", new.weight.get())),
        _ if old.weight == new.weight => {}
        _ => lines.push(format!("{name} weight {} → {}", old.weight.get(), new.weight.get())),
    }
    note(lines, &format!("{name} tag"), &old.tag, &new.tag);
    note(lines, &format!("{name} note"), &old.note, &new.note);
    // These are too long or too secret to show.
    for (what, differs) in [
        ("password", old.credentials != new.credentials),
        ("tls", old.transport != new.transport),
        ("connect_headers", old.connect_headers != new.connect_headers),
        ("warm_connections", old.warm_connections != new.warm_connections),
    ] {
        if differs {
            lines.push(format!("{name} {what} changed"));
        }
    }
}

fn authentication(lines: &mut Vec<String>, old: &Authentication, new: &Authentication) {
    let (old_users, new_users) = match (old, new) {
        (Authentication::Off, Authentication::Off) => return,
        (Authentication::Off, Authentication::Basic { .. }) => {
            lines.push("authentication enabled".to_owned());
            return;
        }
        (Authentication::Basic { .. }, Authentication::Off) => {
            lines.push("authentication disabled".to_owned());
            return;
        }
        (
            Authentication::Basic { realm: old_realm, users: old_users, close_after_refusal: old_close },
            Authentication::Basic { realm, users, close_after_refusal },
        ) => {
            note(lines, "authentication.realm", old_realm, realm);
            note(lines, "authentication.close_after_refusal", old_close, close_after_refusal);
            (old_users, users)
        }
    };
    for user in old_users.iter().filter(|user| new_users.iter().all(|new| new.name != user.name)) {
        lines.push(format!("user {:?} removed", user.name));
    }
    for user in new_users {
        match old_users.iter().find(|old| old.name == user.name) {
            None => lines.push(format!("user {:?} added", user.name)),
            Some(old) if old.password != user.password => lines.push(format!("user {:?} password changed", user.name)),
            Some(_) => {}
        }
    }
}

fn sections(lines: &mut Vec<String>, old: &Config, new: &Config) {
    let (a, b) = (&old.server, &new.server);
    note_fields!(
        lines, "server", a, b,
        Server { name, stats_endpoint, stats_hosts, via, drain_delay, drain_timeout },
        elsewhere: [listen, pid_file, control_socket, stats_require_auth]
    );
    let open = |config: &Config| config.admin.as_ref().is_some_and(|admin| admin.open_to_all);
    note(lines, "admin.open_to_all", &open(old), &open(new));
    note(lines, "stats.require_auth", &a.stats_require_auth, &b.stats_require_auth);
    note_fields!(
        lines, "timeouts", old.timeouts, new.timeouts,
        Timeouts { connect, reply, request, header, keep_alive, body, idle_tunnel, half_closed, pool_idle, pool_idle_unrepeatable, dns },
        elsewhere: []
    );
    note_fields!(
        lines, "failover", old.failover, new.failover,
        Failover { max_attempts },
        elsewhere: [retry_budget]
    );
    let (a, b) = (&old.failover.retry_budget, &new.failover.retry_budget);
    note(lines, "failover.retry_budget_percent", &a.percent, &b.percent);
    note(lines, "failover.retry_budget_min_per_second", &a.min_per_second, &b.min_per_second);
    note_fields!(
        lines, "health_check", old.health.policy, new.health.policy,
        HealthPolicy { failure_threshold, recovery_threshold, backoff_base, backoff_max, max_ejection_percent },
        elsewhere: []
    );
    note(lines, "health_check.timeout", &old.health.timeout, &new.health.timeout);
    note(lines, "health_check checks", &old.health.active, &new.health.active);
    note_fields!(
        lines, "limits", old.limits, new.limits,
        Limits { max_header_bytes, max_header_fields, pool_per_upstream },
        elsewhere: [max_connections, remembered_requests]
    );
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::parse_json;
    use super::*;

    fn config(value: &Value) -> Config {
        parse_json(value).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn base() -> Value {
        json!({
            "server": { "listen_address": "127.0.0.1:1" },
            "authentication": { "enabled": true, "users": [
                { "username": "a", "password": "HUNTER2" }, { "username": "b", "password": "HUNTER2" },
            ] },
            "upstream_proxies": [
                { "url": "http://u:HUNTER2@one:1", "weight": 1, "connect_headers": { "X-Key": "HUNTER2" } },
                { "url": "http://two:1", "weight": 2 },
                { "url": "https://three:1" },
            ],
        })
    }

    #[test]
    fn equal_configurations_do_not_differ() {
        assert!(diff(&config(&base()), &config(&base())).is_empty());
    }

    #[test]
    fn every_change_is_a_line_and_no_line_shows_a_secret() {
        let new = json!({
            "server": {
                "listen_address": "127.0.0.1:2", "pid_file": "", "control_socket": "x.sock", "drain_delay": "5s",
            },
            "authentication": { "enabled": true, "users": [
                { "username": "b", "password": "HUNTER22" }, { "username": "c", "password": "HUNTER2" },
            ] },
            "upstream_proxies": [
                { "url": "http://u:HUNTER22@one:1", "weight": 4, "tag": "x", "connect_headers": { "X-Key": "HUNTER22" } },
                { "url": "http://four:1" },
                { "url": "https://three:1", "enabled": false, "tls": { "server_name": "other" }, "warm_connections": {} },
            ],
            "timeouts": { "connect": "5s" },
            "limits": { "max_connections": 9 },
            "failover": { "max_attempts": 2 },
            "logging": { "level": "debug", "format": "json", "file": "x.log", "sample_successes": 10, "access_format": "%{status}" },
            "stats": { "require_auth": true },
            "flight_recorder": { "directory": "records", "on_ejection": true, "on_failures": 5 },
        });
        let found = diff(&config(&base()), &config(&new));
        assert_eq!(
            found.lines,
            [
                "upstream http://two:1 removed",
                "upstream http://four:1 added, weight 1",
                "upstream http://one:1 as \"u\" weight 1 → 4",
                "upstream http://one:1 as \"u\" tag: None → Some(\"x\")",
                "upstream http://one:1 as \"u\" password changed",
                "upstream http://one:1 as \"u\" connect_headers changed",
                "upstream https://three:1 disabled",
                "upstream https://three:1 tls changed",
                "upstream https://three:1 warm_connections changed",
                "user \"a\" removed",
                "user \"b\" password changed",
                "user \"c\" added",
                "server.drain_delay: 0ns → 5s",
                "stats.require_auth: false → true",
                "timeouts.connect: 10s → 5s",
                "failover.max_attempts: 3 → 2",
            ]
        );
        assert_eq!(
            found.restart_required,
            [
                "server.listen_address: 127.0.0.1:1 → 127.0.0.1:2",
                "server.pid_file: the default → none",
                "server.control_socket: the default → x.sock",
                "limits.max_connections: from the descriptor limit → 9",
                "logging.format: Text → Json",
                "logging.access_format: as logging.format → %{status}",
                "logging.level: info → debug",
                "logging to: standard error → the file x.log",
                "flight_recorder: off → 8000000 bytes, 5m, written to records on ejection on 5 failures",
                "logging.sample_successes: 1 → 10",
            ]
        );
        assert!(!format!("{found:?}").contains("HUNTER2"));
    }

    #[test]
    fn what_needs_a_restart_is_put_back_and_the_rest_applies() {
        let old = config(&base());
        let mut new = base();
        new["server"] =
            json!({ "listen_address": "127.0.0.1:2", "name": "new", "pid_file": "x.pid", "control_socket": "" });
        new["limits"] = json!({ "max_connections": 5, "max_header_fields": 50 });
        new["logging"] = json!({ "level": "debug" });
        let mut new = config(&new);
        let kept = new.keep_restart_only(&old);
        assert_eq!(kept.len(), 5, "{kept:?}");
        assert_eq!((new.server.listen, &new.server.pid_file), (old.server.listen, &ProcessFile::Default));
        assert_eq!(new.server.control_socket, ProcessFile::Default);
        assert_eq!((new.limits.max_connections, &new.logging), (None, &old.logging));
        assert_eq!((new.server.name.as_str(), new.limits.max_header_fields), ("new", 50));
        assert_eq!(diff(&old, &new).restart_required, [""; 0]);
    }

    #[test]
    fn an_address_that_has_to_stay_keeps_its_authentication() {
        let mut outside = base();
        outside["server"]["listen_address"] = json!("0.0.0.0:1");
        let outside = config(&outside);
        let mut inside = base();
        inside["authentication"] = json!({});
        let mut inside = config(&inside);
        assert_eq!(inside.authentication, Authentication::Off);
        let kept = inside.keep_restart_only(&outside);
        assert_eq!(inside.authentication, outside.authentication);
        assert_eq!(kept[1], "authentication: stays on while the proxy listens on 0.0.0.0:1");
    }
}
