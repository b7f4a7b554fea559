//! Names the TLS that a scenario asks for, to targets or to upstreams: no engine has any.

use loadgen::ActionKind;
use serde_json::Value as Json;

use crate::scenario::{Action, Scenario};

/// Names each request and each upstream over TLS that `scenario` asks for. Certificates and handshakes are not simulated. On real sockets
/// loadgen and the proxy's own tests use them.
pub(super) fn tls(scenario: &Scenario) -> Vec<String> {
    let mut found = Vec::new();
    for (index, client) in scenario.clients.iter().enumerate() {
        let tls = client.actions().filter(|one| matches!(one.value().action.kind, ActionKind::Tls { .. }));
        found.extend(tls.map(|one| {
            format!(
                "clients[{index}].do: `{}`: TLS to targets is not played; use http or a tunnel, or loadgen itself",
                one.text()
            )
        }));
    }
    let reloads = scenario.timeline.iter().enumerate().filter_map(|(index, entry)| match &entry.action {
        Action::Reload { proxy, .. } => Some((format!("timeline[{index}].proxy"), proxy)),
        _ => None,
    });
    let further = scenario.further_proxies.iter().map(|(host, proxy)| (format!("further_proxies.{host}"), proxy));
    for (place, proxy) in std::iter::once(("proxy".to_owned(), &scenario.proxy)).chain(further).chain(reloads) {
        let upstreams = proxy.get("upstream_proxies").and_then(Json::as_array).into_iter().flatten();
        for (index, upstream) in upstreams.enumerate() {
            let url = upstream.get("url").or(Some(upstream)).and_then(Json::as_str).unwrap_or_default();
            if url.trim_start().to_ascii_lowercase().starts_with("https:") {
                found.push(format!(
                    "{place}.upstream_proxies[{index}].url: upstreams over TLS are not simulated; use http"
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    #[test]
    fn upstreams_over_tls_are_refused_by_their_place() {
        let text = r#"{"name": "x", "story": "x", "duration": "9s", "upstreams": [{"name": "a"}],
            "proxy": {"upstream_proxies": [{"url": "http://a:8080"}, {"url": "https://a:8081"}]},
            "clients": [{"name": "k", "do": "echo", "requests": 1}],
            "timeline": [{"at": "1s", "do": "reload", "proxy": {"upstream_proxies": [{"url": "HTTPS://a:8080"}]}}]}"#;
        let found = tls(&scenario::parse(text).unwrap());
        let places: Vec<&str> = found.iter().map(|one| one.split(": ").next().unwrap()).collect();
        assert_eq!(places, ["proxy.upstream_proxies[1].url", "timeline[0].proxy.upstream_proxies[0].url"]);
    }
}
