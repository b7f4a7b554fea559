//! An incident under other settings: what a candidate's configuration names stands over what was in force on the day.

use serde_json::{Value as Json, json};

use crate::incident::key::Key;
use crate::incident::settings::Settings;
use crate::scenario::{self, Scenario, UPSTREAM_PORT};

/// The day under a candidate's settings.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The day.
    pub scenario: Scenario,
    /// What of the candidate could not be taken over, a sentence each.
    pub notes: Vec<String>,
}

/// Puts the fields of `over` over those of `under`, section by section. Lists are replaced.
fn overlay(under: &mut Json, over: &Json) {
    match (under, over) {
        (Json::Object(under), Json::Object(over)) => {
            for (name, value) in over {
                overlay(under.entry(name.clone()).or_insert(Json::Null), value);
            }
        }
        (under, over) => *under = over.clone(),
    }
}

impl Candidate {
    /// The day of `incident` under the configuration file with the text `config`, which may leave out what stays. `key` is that of the
    /// recording, if there is one: then upstreams are known by their addresses. Without it they are known by their names in the
    /// recording, or by their order if there are as many.
    ///
    /// # Errors
    /// The file is no JSON; it has upstreams that the day does not have; the proxy refuses it.
    pub fn new(incident: &Scenario, config: &[u8], key: Option<&Key>) -> Result<Self, String> {
        let unknown;
        let names = match key {
            Some(key) => key,
            None => {
                unknown = Key::random()?;
                &unknown
            }
        };
        let mut settings = Settings::read(config, names)?;
        let mut notes: Vec<String> = settings.left_out.iter().map(|what| format!("left out: {what}")).collect();
        let object = settings.proxy.as_object_mut().ok_or("must be an object")?;
        if object.remove("authentication").is_some() {
            notes.push(
                "authentication stays as it was on the day: its clients have the passwords of the replay".to_owned(),
            );
        }
        if object.get("upstream_proxies").is_some_and(|list| list.as_array().is_none_or(Vec::is_empty)) {
            object.remove("upstream_proxies");
        } else if key.is_none() {
            by_name_or_order(incident, config, object, &mut notes)?;
        } else {
            let known = |host: &str| incident.upstreams.iter().any(|one| one.name == host);
            let strangers = settings.upstreams.iter().filter(|one| !known(&one.host)).count();
            if strangers > 0 {
                return Err(format!(
                    "{strangers} of its upstreams are not in the recording, or it was made with another key"
                ));
            }
        }
        let mut json = serde_json::to_value(incident).map_err(|error| error.to_string())?;
        let over = settings.proxy;
        if json.get("proxy").is_none_or(Json::is_null) {
            json["proxy"] = json!({});
        }
        overlay(&mut json["proxy"], &over);
        for entry in json.get_mut("timeline").and_then(Json::as_array_mut).into_iter().flatten() {
            if let Some(proxy) = entry.get_mut("proxy") {
                overlay(proxy, &over);
            }
        }
        let scenario = scenario::parse(&json.to_string()).map_err(|problems| problems.to_string())?;
        Ok(Candidate { scenario, notes })
    }
}

/// Replaces the addresses of the candidate's upstreams by hosts of the recording.
fn by_name_or_order(
    incident: &Scenario,
    config: &[u8],
    object: &mut serde_json::Map<String, Json>,
    notes: &mut Vec<String>,
) -> Result<(), String> {
    let written: Json = serde_json::from_slice(config).map_err(|error| error.to_string())?;
    let url = |host: &str, tls: bool| format!("{}://{host}:{UPSTREAM_PORT}", if tls { "https" } else { "http" });
    let named: Vec<Option<String>> = written["upstream_proxies"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| {
            let text = entry["url"].as_str().unwrap_or_default();
            let found = incident.upstreams.iter().find(|one| url(&one.name, one.tls) == text);
            found.map(|one| url(&one.name, one.tls))
        })
        .collect();
    let places: Vec<String> = if named.iter().all(Option::is_some) {
        named.into_iter().flatten().collect()
    } else if named.len() == incident.upstreams.len() {
        notes.push("its upstreams are taken to be those of the recording in their order: give --key-file to know them by address".to_owned());
        incident.upstreams.iter().map(|one| url(&one.name, one.tls)).collect()
    } else {
        let (theirs, ours) = (named.len(), incident.upstreams.len());
        return Err(format!(
            "it has {theirs} upstreams and the recording {ours}: give the --key-file of the recording, name them as the recording \
             does, or leave upstream_proxies out"
        ));
    };
    let entries = object.get_mut("upstream_proxies").and_then(Json::as_array_mut);
    for (entry, place) in entries.into_iter().flatten().zip(places) {
        entry["url"] = place.into();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident() -> Scenario {
        let text = r#"{"name": "x", "story": "x", "duration": "5s",
            "proxy": {"failover": {"max_attempts": 3}, "timeouts": {"connect": "1s"},
                "upstream_proxies": [{"url": "http://u1:8080"}, {"url": "http://u2:8080"}]},
            "upstreams": [{"name": "u1"}, {"name": "u2"}], "clients": [{"name": "c", "do": "echo", "requests": 5, "rate": 2}],
            "timeline": [{"at": "1s", "do": "reload", "proxy": {"timeouts": {"connect": "2s", "reply": "3s"}}}]}"#;
        scenario::parse(text).unwrap()
    }

    fn proxy_under(config: &str) -> Result<(Json, Json, usize), String> {
        let candidate = Candidate::new(&incident(), config.as_bytes(), None)?;
        let json = serde_json::to_value(&candidate.scenario).unwrap();
        Ok((json["proxy"].clone(), json["timeline"][0]["proxy"].clone(), candidate.notes.len()))
    }

    #[test]
    fn what_a_candidate_names_is_changed_from_the_beginning_and_in_every_reload() {
        let (first, reloaded, notes) =
            proxy_under(r#"{"timeouts": {"connect": "4s"}, "failover": {"max_attempts": 1}}"#).unwrap();
        assert_eq!((&first["timeouts"], &first["failover"]), (&json!({"connect": "4s"}), &json!({"max_attempts": 1})));
        assert_eq!(reloaded["timeouts"], json!({"connect": "4s", "reply": "3s"}));
        assert_eq!((first["upstream_proxies"].as_array().unwrap().len(), notes), (2, 0));
    }

    #[test]
    fn upstreams_are_known_by_name_or_by_order_or_not_at_all() {
        let list = |urls: &[&str]| {
            let entries: Vec<Json> = urls.iter().map(|url| json!({"url": url, "weight": 7})).collect();
            proxy_under(&json!({ "upstream_proxies": entries }).to_string())
        };
        let (proxy, ..) = list(&["http://u2:8080"]).unwrap();
        assert_eq!(proxy["upstream_proxies"], json!([{"url": "http://u2:8080", "weight": 7}]));
        let (proxy, _, notes) = list(&["http://real-b:1", "http://real-a:1"]).unwrap();
        assert_eq!((&proxy["upstream_proxies"][0]["url"], notes), (&json!("http://u1:8080"), 1));
        assert!(list(&["http://real-b:1"]).unwrap_err().contains("1 upstreams and the recording 2"));
        assert!(proxy_under(r#"{"failover": {"max_attempts": 0}}"#).is_err(), "the proxy refuses it");
    }

    #[test]
    fn a_stranger_under_the_key_is_refused() {
        let key = Key::new(b"0123456789abcdef").unwrap();
        let config = br#"{"upstream_proxies": [{"url": "http://real:1"}]}"#;
        assert!(Candidate::new(&incident(), config, Some(&key)).unwrap_err().starts_with("1 of its upstreams"));
    }
}
