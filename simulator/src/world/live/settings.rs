//! The configuration of a live proxy differs from the scenario's: hosts have addresses, and the log is JSON.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use crate::scenario::HostName;

/// Makes the configuration of the live proxy from `text`. The proxy listens on `listen`, logs everything as JSON, and finds
/// upstreams by address instead of by name. A text that is not JSON stays as it is: the scenario wants the proxy to refuse it.
pub(super) fn on_loopback(text: &str, listen: IpAddr, names: &BTreeMap<IpAddr, HostName>, pid_file: &Path) -> String {
    let Ok(Json::Object(mut file)) = serde_json::from_str(text) else { return text.to_owned() };
    for upstream in file.get_mut("upstream_proxies").and_then(Json::as_array_mut).into_iter().flatten() {
        let Some(entry) = upstream.as_object_mut() else { continue };
        let Some(Json::String(url)) = entry.get_mut("url") else { continue };
        let Some((placed, host)) = by_address(url, names) else { continue };
        *url = placed;
        // Its certificate has its name.
        if let Some(tls) = entry.get_mut("tls").and_then(Json::as_object_mut) {
            tls.entry("server_name").or_insert_with(|| json!(host));
        }
    }
    if let Some(server) = section(&mut file, "server") {
        place(server, listen);
        server.insert("pid_file".to_owned(), json!(pid_file));
    }
    // Without an address there is no such listener.
    let admin = file.get_mut("admin").and_then(Json::as_object_mut);
    if let Some(admin) = admin.filter(|admin| admin.get("listen_address").is_some_and(|address| address != "")) {
        place(admin, listen);
    }
    if let Some(logging) = section(&mut file, "logging") {
        logging.insert("format".to_owned(), json!("json"));
        logging.insert("level".to_owned(), json!("info,proxy=debug"));
    }
    Json::Object(file).to_string()
}

/// What the live proxy calls the upstream whose name is `name`. It is called by its URL, or by a tag, which stays as it is.
pub(super) fn name_on_loopback(name: &str, names: &BTreeMap<IpAddr, HostName>) -> String {
    by_address(name, names).map_or_else(|| name.to_owned(), |(placed, _)| placed)
}

/// Has the listener of `section` at the address `listen`, on the port that it has.
fn place(section: &mut Map<String, Json>, listen: IpAddr) {
    let port = section.get("listen_address").and_then(Json::as_str).and_then(|text| text.rsplit_once(':'));
    let port = port.map_or("", |(_, port)| port).to_owned();
    section.insert("listen_address".to_owned(), json!(format!("{listen}:{port}")));
}

/// The section of that name, which is added if it is missing. `None` if it is not an object.
fn section<'a>(file: &'a mut Map<String, Json>, name: &str) -> Option<&'a mut Map<String, Json>> {
    file.entry(name).or_insert_with(|| json!({})).as_object_mut()
}

/// The URL with the address of its host in its place, and the host, if that is known.
fn by_address(url: &str, names: &BTreeMap<IpAddr, HostName>) -> Option<(String, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let (user, place) = rest.rsplit_once('@').map_or(("", rest), |(user, place)| (user, place));
    let (host, port) = place.split_once(':').map_or((place, ""), |(host, port)| (host, port));
    let (address, _) = names.iter().find(|(_, name)| name.as_str() == host)?;
    let at = if user.is_empty() { "" } else { "@" };
    let colon = if port.is_empty() { "" } else { ":" };
    Some((format!("{scheme}://{user}{at}{address}{colon}{port}"), host.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> BTreeMap<IpAddr, HostName> {
        BTreeMap::from([([127, 0, 0, 9].into(), HostName::new("alpha"))])
    }

    fn placed(text: &str) -> String {
        on_loopback(text, [127, 0, 0, 1].into(), &names(), Path::new("p.pid"))
    }

    #[test]
    fn hosts_stand_by_address_and_the_rest_is_kept() {
        let text = r#"{"server": {"listen_address": "0.0.0.0:3130", "name": "x"}, "admin": {"listen_address": ":9100", "open_to_all": true},
            "upstream_proxies": [{"url": "http://u:p@alpha:8080", "weight": 2}, {"url": "http://other:1"},
            {"url": "https://alpha:8080", "tls": {"ca_file": "x.pem"}}]}"#;
        let file: Json = serde_json::from_str(&placed(text)).unwrap();
        assert_eq!(file["upstream_proxies"][0], json!({ "url": "http://u:p@127.0.0.9:8080", "weight": 2 }));
        assert_eq!(file["upstream_proxies"][1]["url"], "http://other:1");
        let over_tls =
            json!({ "url": "https://127.0.0.9:8080", "tls": { "ca_file": "x.pem", "server_name": "alpha" } });
        assert_eq!(file["upstream_proxies"][2], over_tls);
        assert_eq!(file["server"], json!({ "listen_address": "127.0.0.1:3130", "name": "x", "pid_file": "p.pid" }));
        assert_eq!(file["admin"], json!({ "listen_address": "127.0.0.1:9100", "open_to_all": true }));
        assert_eq!(file["logging"]["format"], "json");
    }

    #[test]
    fn what_is_broken_stays_broken() {
        assert_eq!(placed("{ broken"), "{ broken");
        assert_eq!(serde_json::from_str::<Json>(&placed(r#"{"server": 5}"#)).unwrap()["server"], 5);
    }
}
