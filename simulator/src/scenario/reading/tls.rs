//! Checks that the proxy speaks TLS with those upstreams that do, and with no others.

use faulty_upstream::fault::Strikes;
use proxy::config::{Problems, Transport};

use crate::scenario::configuration::{CA_FILE, ConfigFile};
use crate::scenario::file::Scenario;
use crate::scenario::host::PROXY;
use crate::scenario::timeline::Action;

/// Notes where one side speaks TLS and the other does not, and faults of handshakes where there are none.
pub(super) fn tls(scenario: &Scenario, problems: &mut Problems) {
    for (index, upstream) in scenario.upstreams.iter().enumerate().filter(|(_, upstream)| !upstream.tls) {
        let plan = upstream.fault_plan(0).unwrap_or_default();
        for (entry, at) in plan.entries().iter().zip(0..) {
            if entry.fault.strikes() == Strikes::Handshakes {
                let place = format!("upstreams[{index}].plan.faults[{at}].fault");
                problems.add(place, format!("{} strikes TLS handshakes; set upstreams[{index}].tls", entry.fault.name));
            }
        }
    }
    for host in scenario.proxies() {
        let place = if host == PROXY { "proxy".to_owned() } else { format!("further_proxies.{host}") };
        configuration(scenario, &place, &ConfigFile::first(scenario, host), problems);
    }
    for (index, entry) in scenario.timeline.iter().enumerate() {
        match &entry.action {
            Action::Reload { text: Some(text), .. } => {
                configuration(scenario, &format!("timeline[{index}].text"), &ConfigFile::new(text.clone()), problems);
            }
            Action::Reload { proxy, .. } => {
                let file = ConfigFile::complete(proxy, scenario);
                configuration(scenario, &format!("timeline[{index}].proxy"), &file, problems);
            }
            _ => {}
        }
    }
}

/// What of a configuration that stands at `place` does not fit the upstreams. One that is broken fits.
fn configuration(scenario: &Scenario, place: &str, file: &ConfigFile, problems: &mut Problems) {
    for (index, entry) in file.config.iter().flat_map(|config| config.upstreams.iter().enumerate()) {
        let place = format!("{place}.upstream_proxies[{index}]");
        if matches!(entry.transport, Transport::Tls { roots: None, .. }) {
            let text = format!("must be {CA_FILE:?}: the system's certificates differ from machine to machine");
            problems.add(format!("{place}.tls.ca_file"), text);
        }
        let speaks = entry.transport != Transport::Plain;
        let known = scenario.upstreams.iter().find(|upstream| upstream.name == entry.host);
        if let Some(upstream) = known.filter(|upstream| upstream.tls != speaks) {
            let text =
                if upstream.tls { "speaks TLS: use https://" } else { "speaks no TLS: use http://, or set its tls" };
            problems.add(format!("{place}.url"), format!("{} {text}", upstream.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario;

    fn problems(rest: &str) -> Vec<String> {
        let text = format!(
            r#"{{"name": "x", "story": "x", "duration": "9s", "clients": [{{"name": "k", "do": "echo", "requests": 1}}], {rest}}}"#
        );
        scenario::parse(&text)
            .err()
            .into_iter()
            .flat_map(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn who_speaks_tls_and_who_does_not_is_named_where_they_disagree() {
        let both = r#""upstreams": [{"name": "a", "tls": true}, {"name": "b"}]"#;
        assert_eq!(problems(both), Vec::<String>::new(), "what is left out fits");
        let fits = r#""proxy": {"upstream_proxies": [{"url": "https://a:8080"}, {"url": "http://b:8080"}]}"#;
        assert_eq!(problems(&format!("{both}, {fits}")), Vec::<String>::new());
        let other = r#""proxy": {"upstream_proxies": [{"url": "http://a:8080"}, {"url": "HTTPS://b:8080"}]}"#;
        let [first, second] = ["a speaks TLS: use https://", "b speaks no TLS: use http://, or set its tls"];
        assert_eq!(
            problems(&format!("{both}, {other}")),
            [format!("proxy.upstream_proxies[0].url: {first}"), format!("proxy.upstream_proxies[1].url: {second}")]
        );
        let reload = format!(r#"{both}, "timeline": [{{"at": "1s", "do": "reload", {other}}}]"#);
        assert_eq!(problems(&reload)[0], format!("timeline[0].proxy.upstream_proxies[0].url: {first}"));
    }

    #[test]
    fn the_machines_own_certificates_are_nobodys() {
        let reload = r#""upstreams": [{"name": "a", "tls": true}], "timeline": [{"at": "1s", "do": "reload",
            "text": "{\"server\": {\"allow_unauthenticated_clients\": true}, \"upstream_proxies\": [{\"url\": \"https://a:8080\"}]}"}]"#;
        let problems = problems(reload);
        assert!(problems[0].starts_with("timeline[0].text.upstream_proxies[0].tls.ca_file: must be"), "{problems:?}");
    }

    #[test]
    fn a_fault_of_handshakes_needs_an_upstream_that_speaks_tls() {
        let upstream = |tls| {
            let faults = r#"[{"fault": "slice"}, {"fault": "handshake-alert"}]"#;
            format!(r#""upstreams": [{{"name": "a", "tls": {tls}, "plan": {{"faults": {faults}}}}}]"#)
        };
        assert_eq!(problems(&upstream(true)), Vec::<String>::new());
        let text = "upstreams[0].plan.faults[1].fault: handshake-alert strikes TLS handshakes; set upstreams[0].tls";
        assert_eq!(problems(&upstream(false)), [text]);
    }
}
