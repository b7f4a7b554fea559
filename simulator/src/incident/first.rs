//! A first scenario for somebody's own pool, made from the configuration of its proxy: what stays hidden if one upstream fails?

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::key::Key;
use super::settings::{PASSWORD, Settings};
use crate::scenario::{self, Scenario, Span};

/// How long requests come.
const LOAD: Duration = Duration::from_secs(60);
/// When one upstream refuses connections, and when it takes them again.
const FAILS: Duration = Duration::from_secs(10);
const HEALED: Duration = Duration::from_secs(25);
/// Requests a second of each client. Enough for any threshold of failures in a row to be reached while one upstream fails.
const RATE: u32 = 20;

/// A first scenario.
#[derive(Clone, Debug)]
pub struct First {
    /// What it says.
    pub scenario: Scenario,
    /// The text of its file.
    pub text: String,
    /// What of the configuration could not be carried over, a sentence each.
    pub left_out: Vec<String>,
}

/// Makes a scenario called `name` of a configuration's text: its settings and weights, clients that ask for tunnels and pages, and an
/// upstream that refuses connections for a quarter of a minute, which no client may notice. Addresses, users, tags and everything secret are replaced.
///
/// # Errors
/// The configuration is no JSON, or has no upstream; the name is none that a scenario may have.
pub fn first(config: &[u8], name: &str) -> Result<First, String> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(format!("the name must be letters, digits and dashes (got {name:?})"));
    }
    let Settings { mut proxy, upstreams, users, mut left_out } = Settings::read(config, &Key::random()?)?;
    if upstreams.is_empty() {
        return Err("upstream_proxies: there is none".to_owned());
    }
    let hosts: BTreeMap<&str, String> =
        (1..).zip(&upstreams).map(|(number, one)| (one.host.as_str(), format!("upstream-{number}"))).collect();
    let mut groups: BTreeMap<String, String> = BTreeMap::new();
    let mut taking = Vec::new();
    for (entry, known) in proxy["upstream_proxies"].as_array_mut().into_iter().flatten().zip(&upstreams) {
        let named = &hosts[known.host.as_str()];
        entry["url"] = entry["url"].as_str().unwrap_or_default().replace(&known.host, named).into();
        if let Some(Json::String(tag)) = entry.get_mut("tag") {
            let group = format!("group-{}", groups.len() + 1);
            *tag = groups.entry(tag.clone()).or_insert(group).clone();
        }
        if entry.get("enabled") != Some(&json!(false)) && entry.get("weight") != Some(&json!(0)) {
            taking.push(named.clone());
        }
    }
    let mut clients = vec![
        json!({ "name": "tunnels", "do": "echo", "rate": RATE, "until": Span::from(LOAD) }),
        json!({ "name": "pages", "do": "http:bytes=3000", "rate": RATE, "until": Span::from(LOAD) }),
    ];
    if let Some(users) = users {
        // A configuration that takes its users from elsewhere has one here.
        let listed = 1..=users.len().max(1);
        let users: Vec<String> = listed.map(|number| format!("user-{number}")).collect();
        proxy["authentication"]["users"] =
            users.iter().map(|user| json!({ "username": user, "password": PASSWORD })).collect();
        let credentials: Vec<String> = users.iter().map(|user| format!("{user}:{PASSWORD}")).collect();
        clients.iter_mut().for_each(|client| client["users"] = json!(credentials));
    }
    let fails = (taking.len() > 1).then(|| taking[0].clone());
    let all = u64::from(RATE) * LOAD.as_secs();
    let listed = upstreams.iter().map(|one| {
        let mut upstream = json!({ "name": hosts[one.host.as_str()] });
        if one.tls {
            upstream["tls"] = true.into();
        }
        if Some(&hosts[one.host.as_str()]) == fails.as_ref() {
            upstream["plan"] = json!({ "faults": [{ "fault": "refuse", "when": {
                "from": Span::from(FAILS), "until": Span::from(HEALED) } }] });
        }
        upstream
    });
    let story = match &fails {
        Some(victim) => format!("{victim} refuses connections for a while, and no client notices."),
        None => {
            left_out.push("an upstream that fails: there is no second one that could take over".to_owned());
            "Requests go through the only upstream that takes any.".to_owned()
        }
    };
    let upstreams: Vec<Json> = listed.collect();
    let json = json!({
        "name": name, "story": story, "duration": Span::from(LOAD), "proxy": proxy, "upstreams": upstreams,
        "clients": clients,
        "expect": [{ "what": "requests", "outcome": "ok", "exactly": all * clients.len() as u64 }],
    });
    let text = format!("{json:#}\n");
    let scenario = scenario::parse(&text).map_err(|problems| problems.to_string())?;
    Ok(First { scenario, text, left_out })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Verdict, run};

    const CONFIG: &str = r#"{
        "server": { "listen_address": "10.1.2.3:3130", "name": "geheim-name" },
        "authentication": { "enabled": true, "users": [{ "username": "geheim-user", "password": "${env:GEHEIM}" }] },
        "upstream_proxies": [
            { "url": "http://geheim-a:geheim-b@geheim-c:3025", "weight": 0 },
            { "url": "https://${env:GEHEIM_D}:${env:GEHEIM_E}@geheim-f", "weight": 3, "tag": "geheim-g", "note": "geheim-h" },
            { "url": "http://geheim-i:1", "tag": "geheim-g" }],
        "health_check": { "failure_threshold": 2, "backoff_max": "30s", "endpoints": ["https://geheim-j/x"] } }"#;

    #[test]
    fn the_pools_shape_is_kept_and_nothing_that_tells_whose_it_is() {
        let first = first(CONFIG.as_bytes(), "ours").unwrap();
        assert!(!first.text.to_lowercase().contains("geheim") && !first.text.contains("10.1.2.3"), "{}", first.text);
        let proxy = &first.scenario.proxy;
        assert_eq!(proxy["upstream_proxies"][1]["url"], "https://upstream-2:8080");
        assert_eq!(
            (&proxy["upstream_proxies"][1]["weight"], &proxy["upstream_proxies"][0]["weight"]),
            (&json!(3), &json!(0))
        );
        assert_eq!(proxy["upstream_proxies"][1]["tag"], proxy["upstream_proxies"][2]["tag"]);
        assert_eq!(proxy["health_check"]["failure_threshold"], 2);
        assert!(
            first.scenario.story.starts_with("upstream-2 refuses"),
            "not one that takes nothing: {}",
            first.scenario.story
        );
        let report = run(&first.scenario, 1);
        assert_eq!(report.verdict, Verdict::Passed, "{:?}", report.violations);
    }

    #[test]
    fn what_the_settings_can_not_hide_breaks_it() {
        let alone = CONFIG.replace("\"health_check\"", "\"failover\": { \"max_attempts\": 1 }, \"health_check\"");
        let report = run(&first(alone.as_bytes(), "ours").unwrap().scenario, 1);
        assert_eq!(report.verdict, Verdict::Violated, "with one attempt nothing fails over");
    }

    #[test]
    fn a_single_upstream_does_not_fail_and_none_is_refused() {
        let one = first(br#"{ "upstream_proxies": [{ "url": "http://a:1" }] }"#, "ours").unwrap();
        assert!(one.scenario.upstreams[0].plan.is_null() && one.left_out.len() == 1, "{:?}", one.left_out);
        assert_eq!(first(b"{}", "ours").unwrap_err(), "upstream_proxies: there is none");
        assert!(first(b"{", "ours").unwrap_err().starts_with("not JSON"));
        assert!(first(CONFIG.as_bytes(), "No Name").unwrap_err().contains("name"));
    }
}
