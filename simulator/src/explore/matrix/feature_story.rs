//! The scenario in which a subject shows a feature: what it expects holds by what clients and upstreams saw, or the feature is not there.

use serde_json::{Value as Json, json};

use super::story::{PLAIN, TUNNEL};
use crate::scenario::{self, Scenario};
use crate::subject::{Feature, Subject};

/// The client whose requests are counted by upstream, where the feature is about shares.
pub(super) const COUNTED: &str = "counted";
/// How many requests it makes: whole rounds of every schedule here.
const COUNT: u32 = 160;
/// The value that chi-square with one degree of freedom exceeds once in a thousand times.
const CHI_SQUARE: f64 = 10.828;

/// Whether `feature` has a scenario. The others are shown by the faults, or by `simulator conformance`.
pub(super) fn is_told(feature: Feature) -> bool {
    parts(feature, false, false).is_some()
}

/// The scenario for `feature` with `subject`. A subject that has one upstream only gets one.
///
/// # Panics
/// The feature has none, or it can't be read, which a test of all features excludes.
pub(super) fn story(feature: Feature, subject: &Subject) -> Scenario {
    let alone = subject.lacks(Feature::SeveralUpstreams).is_some();
    let exact = subject.lacks(Feature::ExactShares).is_none();
    let mut story = parts(feature, alone, exact).unwrap_or_else(|| panic!("{feature} has no scenario"));
    story["name"] = json!(format!("matrix-{feature}"));
    // Nothing here is to fail, and the machine may be busy.
    story["proxy"]["timeouts"]["connect"] = json!("2s");
    if subject.lacks(Feature::PlainHttp).is_some() && feature != Feature::PlainHttp {
        for (list, name) in [("clients", "name"), ("expect", "client")] {
            if let Some(all) = story[list].as_array_mut() {
                all.retain(|one| one[name] != PLAIN);
            }
        }
    }
    match scenario::parse(&story.to_string()) {
        Ok(scenario) => scenario,
        Err(problems) => panic!("{problems}"),
    }
}

/// What is particular to the scenario of `feature`. A subject of whose upstreams there is one is `alone`; one that claims it keeps `exact` shares.
fn parts(feature: Feature, alone: bool, exact: bool) -> Option<Json> {
    let names: &[&str] = if alone { &["a"] } else { &["a", "b"] };
    let story = match feature {
        Feature::SeveralUpstreams => shares([1, 1], exact),
        Feature::Weights => shares([3, 1], exact),
        Feature::PlainHttp => json!({
            "story": "Pages are asked for and forms are sent.",
            "duration": "2s",
            "upstreams": upstreams(names),
            "clients": [
                client(PLAIN, "http:bytes=10k", "2s"),
                client("poster", "http:method=POST,path=/echo,send=500", "2s")
            ],
            "expect": [none_fails()],
        }),
        Feature::UpstreamCredentials => credentials(names),
        Feature::ClientAuthentication => authentication(names),
        Feature::ConnectionLimit => json!({
            "story": "More clients come than the proxy serves at once.",
            "duration": "3s",
            "proxy": { "limits": { "max_connections": 10 } },
            "upstreams": upstreams(names),
            "clients": [{ "name": TUNNEL, "do": "hold:for=1s", "rate": 40, "until": "500ms", "timeout": "7s" }],
            "expect": [{ "what": "requests", "client": TUNNEL, "outcome": "ok", "at_least": 10 }],
        }),
        Feature::HeaderTimeout => json!({
            "story": "Clients say nothing, or stop within a head, while others are served.",
            "duration": "4s",
            "proxy": { "timeouts": { "header": "1s" } },
            "upstreams": upstreams(names),
            "clients": [
                client(TUNNEL, ECHO, "3s"),
                { "name": "silent", "do": "abuse:by=silence", "rate": 10, "until": "1s", "timeout": "7s" },
                { "name": "half", "do": "abuse:by=half-head", "rate": 10, "until": "1s", "timeout": "7s" }
            ],
            "expect": [{ "what": "requests", "client": TUNNEL, "outcome": "failed", "exactly": 0 }],
        }),
        Feature::HealthPages => json!({
            "story": "The proxy is asked how it is.",
            "duration": "2s",
            "upstreams": upstreams(names),
            "clients": [client("alive", "page:path=/healthz", "2s"), client("ready", "page:path=/readyz", "2s")],
            "expect": [none_fails()],
        }),
        Feature::Reload => reload(alone, exact),
        Feature::Drain => json!({
            "story": "The proxy is told to stop while tunnels are open.",
            "duration": "5s",
            "proxy": { "server": { "drain_timeout": "4s" } },
            "upstreams": upstreams(names),
            "clients": [{ "name": TUNNEL, "do": "hold:for=2s,every=200ms", "rate": 10, "until": "3s", "timeout": "7s" }],
            "timeline": [{ "at": "2050ms", "do": "drain" }],
            "expect": [
                { "what": "requests", "outcome": "failed", "exactly": 0, "until": "1900ms" },
                { "what": "requests", "outcome": "cut", "phase": "data", "exactly": 0 },
                { "what": "requests", "outcome": "reset", "phase": "data", "exactly": 0 }
            ],
        }),
        _ => return None,
    };
    Some(story)
}

const ECHO: &str = "echo:rounds=2,bytes=2k";
const PAGE: &str = "http:bytes=10k";

fn upstreams(names: &[&str]) -> Json {
    names.iter().map(|name| json!({ "name": name })).collect()
}

fn client(name: &str, does: &str, until: &str) -> Json {
    json!({ "name": name, "do": does, "rate": 10, "until": until, "timeout": "7s" })
}

fn none_fails() -> Json {
    json!({ "what": "requests", "outcome": "failed", "exactly": 0 })
}

/// The upstreams of a configuration with their weights.
fn weighted(weights: &[(&str, u32)]) -> Json {
    weights.iter().map(|(name, weight)| json!({ "url": format!("http://{name}:8080"), "weight": weight })).collect()
}

/// That the requests of [`COUNTED`] which reach `upstream` are its `weight` of `sum`: exactly, or as often as chance allows.
fn share(upstream: &str, weight: u32, sum: u32, exact: bool) -> Json {
    let (count, share) = (f64::from(COUNT), f64::from(weight) / f64::from(sum));
    let wanted = count * share;
    let apart = if exact { 0.0 } else { (CHI_SQUARE * wanted * (1.0 - share)).sqrt() };
    let (least, most) = ((wanted - apart).ceil() as u64, (wanted + apart).floor() as u64);
    json!({ "what": "reached", "client": COUNTED, "upstream": upstream, "at_least": least, "at_most": most })
}

fn shares([a, b]: [u32; 2], exact: bool) -> Json {
    json!({
        "story": format!("Two upstreams have the weights {a} and {b}."),
        "duration": "2500ms",
        "proxy": { "upstream_proxies": weighted(&[("a", a), ("b", b)]) },
        "upstreams": upstreams(&["a", "b"]),
        "clients": [{ "name": COUNTED, "do": "echo", "requests": COUNT, "rate": 80, "timeout": "7s" }],
        "expect": [none_fails(), share("a", a, a + b, exact), share("b", b, a + b, exact)],
    })
}

fn credentials(names: &[&str]) -> Json {
    let asks = |name: &&str| json!({ "name": name, "auth": format!("for-{name}:secret-{name}") });
    let reached = |name: &&str| json!({ "what": "reached", "upstream": name, "at_least": 1 });
    let expect: Vec<Json> = [none_fails()].into_iter().chain(names.iter().map(reached)).collect();
    json!({
        "story": "Each upstream asks for credentials of its own.",
        "duration": "2s",
        "upstreams": names.iter().map(asks).collect::<Vec<_>>(),
        "clients": [client(TUNNEL, ECHO, "2s"), client(PLAIN, PAGE, "2s")],
        "expect": expect,
    })
}

fn authentication(names: &[&str]) -> Json {
    let user = |mut client: Json, user: &str| {
        client["users"] = json!([user]);
        client
    };
    let refused = |name: &str| {
        [
            json!({ "what": "reached", "client": name, "exactly": 0 }),
            json!({ "what": "requests", "client": name, "outcome": "status", "status": 407, "exactly": 20 }),
        ]
    };
    let ok = |name: &str| json!({ "what": "requests", "client": name, "outcome": "failed", "exactly": 0 });
    let expect: Vec<Json> =
        refused("guesser").into_iter().chain(refused("stranger")).chain([ok(TUNNEL), ok(PLAIN)]).collect();
    json!({
        "story": "A user comes with the right password; others come with a wrong one, or with none.",
        "duration": "2500ms",
        "proxy": { "authentication": { "enabled": true, "users": [{ "username": "alice", "password": "correct-horse" }] } },
        "upstreams": upstreams(names),
        "clients": [
            user(client(TUNNEL, ECHO, "2s"), "alice:correct-horse"),
            user(client(PLAIN, PAGE, "2s"), "alice:correct-horse"),
            { "name": "guesser", "do": "echo", "requests": 20, "rate": 10, "timeout": "7s", "users": ["alice:guessing"] },
            { "name": "stranger", "do": "echo", "requests": 20, "rate": 10, "timeout": "7s" }
        ],
        "expect": expect,
    })
}

/// One upstream leaves, another comes, and the weights change, while tunnels are open and pages are asked for.
fn reload(alone: bool, exact: bool) -> Json {
    let (before, after, names): (&[_], &[_], &[_]) = match alone {
        true => (&[("a", 1)], &[("b", 1)], &["a", "b"]),
        false => (&[("a", 1), ("b", 1)], &[("a", 1), ("c", 3)], &["a", "b", "c"]),
    };
    let sum = after.iter().map(|(_, weight)| weight).sum();
    let weight_of = |name: &str| after.iter().find(|(one, _)| *one == name).map_or(0, |(_, weight)| *weight);
    let expect: Vec<Json> =
        [none_fails()].into_iter().chain(names.iter().map(|name| share(name, weight_of(name), sum, exact))).collect();
    json!({
        "story": "Under load one upstream leaves, another comes, and the weights change.",
        "duration": "7500ms",
        "proxy": { "upstream_proxies": weighted(before) },
        "upstreams": upstreams(names),
        "clients": [
            { "name": TUNNEL, "do": "hold:for=1s,every=200ms", "rate": 20, "until": "3s", "timeout": "7s" },
            client(PLAIN, PAGE, "4s"),
            { "name": COUNTED, "do": "echo", "from": "5s", "requests": COUNT, "rate": 80, "timeout": "7s" }
        ],
        "timeline": [{ "at": "1550ms", "do": "reload", "proxy": { "upstream_proxies": weighted(after) } }],
        "expect": expect,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Verdict, run};
    use crate::subject::named;
    use crate::world::EngineKind;

    fn told() -> impl Iterator<Item = Feature> {
        Feature::ALL.into_iter().filter(|feature| is_told(*feature))
    }

    #[test]
    fn netdrift_shows_every_feature_on_the_simulated_engine_too() {
        for feature in told() {
            let story = story(feature, &Subject::default());
            assert_eq!(EngineKind::Live.unsupported(&story), [""; 0], "{feature}");
            let report = run(&story, 1);
            assert_eq!(report.verdict, Verdict::Passed, "{feature}: {:?}", report.violations);
        }
    }

    /// A subject is refused for what it lacks, and for nothing else.
    #[test]
    fn whoever_lacks_the_feature_is_not_asked_for_it() {
        for subject in ["3proxy", "nginx", "tinyproxy", "sing-box", "squid"].map(|name| named(name).unwrap()) {
            for feature in told() {
                let refused = subject.unsupported(&story(feature, &subject));
                let lacks = subject.lacks(feature).is_some();
                assert_eq!(refused.is_empty(), !lacks, "{} {feature}: {refused:?}", subject.name());
            }
        }
    }

    #[test]
    fn shares_are_exact_where_they_are_claimed_to_be() {
        let bounds = |exact| {
            let share = share("a", 3, 4, exact);
            (share["at_least"].as_u64().unwrap(), share["at_most"].as_u64().unwrap())
        };
        assert_eq!((bounds(true), bounds(false)), ((120, 120), (102, 138)));
        let none = share("a", 0, 4, false);
        assert_eq!((&none["at_least"], &none["at_most"]), (&json!(0), &json!(0)));
    }
}
