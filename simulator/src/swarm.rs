//! Scenarios made up from a seed: each draws its own mix of topology, faults, load and reloads, so that a sweep of many
//! finds combinations that nobody thought of.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value as Json, json};

use crate::scenario::{self, Scenario};

/// What an upstream may do wrong.
const FAULTS: &[&str] = &[
    "refuse",
    "accept-reset",
    "accept-close",
    "reply-reset",
    "reply-close",
    "reply-never",
    "reply-late",
    "garbage",
    "bare-lf",
    "status-407",
    "status-429",
    "status-502",
    "status-503",
    "early-200-reset",
    "stalled-tunnel",
    "tunnel-reset",
    "cut",
    "slice",
    "stall",
    "glued",
    "informational",
    "drip",
    "die",
    "flap",
    "brown-out",
];

/// The seed of run `index` of the sweep with seed `master`.
pub fn seed_of(master: u64, index: u64) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(master);
    random.set_stream(index);
    random.next_u64()
}

/// The scenario that `seed` stands for.
pub fn scenario(seed: u64) -> Scenario {
    let text = Draw(ChaCha8Rng::seed_from_u64(seed)).scenario(seed).to_string();
    scenario::parse(&text)
        .unwrap_or_else(|problems| panic!("seed {seed} made a scenario that is wrong: {problems:?}\n{text}"))
}

struct Draw(ChaCha8Rng);

impl Draw {
    /// A number from `least` to `most`.
    fn number(&mut self, least: u64, most: u64) -> u64 {
        least + self.0.next_u64() % (most - least + 1)
    }

    /// True once in `times`.
    fn once_in(&mut self, times: u64) -> bool {
        self.number(1, times) == 1
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let index = self.number(0, all.len() as u64 - 1);
        &all[usize::try_from(index).unwrap_or(0)]
    }

    fn scenario(&mut self, seed: u64) -> Json {
        let count = self.number(1, 5);
        let names: Vec<String> = (1..=count).map(|number| format!("u{number}")).collect();
        let seconds = self.number(10, 40);
        let clients = self.clients(seconds);
        let proxy = self.proxy(&names);
        let timeline = self.timeline(&names, &proxy, seconds);
        // The last one is left alone, so that there is often somebody who must serve.
        let upstreams: Vec<Json> =
            names.iter().map(|name| self.upstream(name, *name == names[names.len() - 1])).collect();
        let mut network = json!({ "latency": format!("{}ms", self.number(0, 40)) });
        if self.once_in(3) {
            network["jitter"] = json!(format!("{}ms", self.number(1, 60)));
        }
        if self.once_in(4) {
            network["loss"] = json!(self.number(1, 30) as f64 / 1000.0);
        }
        json!({
            "name": format!("swarm-{seed}"), "story": "Made up by a sweep.", "seed": seed,
            "duration": format!("{seconds}s"), "network": network, "proxy": proxy,
            "upstreams": upstreams, "clients": clients, "timeline": timeline,
        })
    }

    fn upstream(&mut self, name: &str, sound: bool) -> Json {
        let mut upstream = json!({ "name": name });
        if self.once_in(4) {
            upstream["latency"] = json!(format!("{}ms", self.number(1, 300)));
        }
        if !sound && self.once_in(2) {
            let mut when = json!({});
            if self.once_in(2) {
                when["from"] = json!(format!("{}s", self.number(1, 5)));
                when["until"] = json!(format!("{}s", self.number(6, 30)));
            }
            let fault = *self.one_of(FAULTS);
            if !matches!(fault, "refuse" | "die" | "flap" | "brown-out") && self.once_in(2) {
                when["probability"] = json!(self.number(1, 9) as f64 / 10.0);
            }
            upstream["plan"] = json!({ "faults": [{ "fault": fault, "when": when }] });
        }
        upstream
    }

    fn proxy(&mut self, names: &[String]) -> Json {
        let upstreams: Vec<Json> = names
            .iter()
            .map(|name| json!({ "url": format!("http://{name}:8080"), "weight": self.number(1, 5) }))
            .collect();
        let mut health = json!({
            "failure_threshold": self.number(1, 4),
            "backoff_base": format!("{}s", self.number(1, 5)),
            "backoff_max": format!("{}s", self.number(5, 15)),
        });
        if self.once_in(3) {
            health["enabled"] = json!(true);
            health["interval_seconds"] = json!(self.number(1, 5));
            health["timeout_seconds"] = json!(self.number(1, 5));
            health["endpoints"] = json!(["echo.mock:80"]);
        }
        json!({
            "upstream_proxies": upstreams, "health_check": health,
            "timeouts": { "connect": "1s", "reply": "3s", "half_closed": "20s" },
            "server": { "drain_timeout": format!("{}s", self.number(1, 20)) },
        })
    }

    fn clients(&mut self, seconds: u64) -> Vec<Json> {
        let count = self.number(1, 3);
        (1..=count)
            .map(|number| {
                let mut client = json!({
                    "name": format!("c{number}"), "do": self.action(), "until": format!("{seconds}s"),
                });
                if self.once_in(4) {
                    client["clients"] = json!(self.number(1, 8));
                    client["think"] = json!(format!("{}ms", self.number(10, 300)));
                } else {
                    client["rate"] = json!(self.number(3, 30));
                    client["poisson"] = json!(self.once_in(3));
                }
                client
            })
            .collect()
    }

    fn action(&mut self) -> String {
        let (bytes, block) = (self.number(0, 100_000), self.number(1, 60_000));
        match self.number(1, 8) {
            1 => format!("http:method=POST,path=/echo,send={bytes}"),
            2 => format!("http:target={{id}}.n{bytes}.source.mock:80,pattern={bytes}"),
            3 => format!("download:bytes={bytes},send={block}"),
            4 => format!("hold:for={}s,every={}s,bytes={block}", self.number(1, 8), self.number(1, 4)),
            5 => format!("echo:rounds={},bytes={block},early", self.number(1, 3)),
            6 => format!("upload:bytes={bytes}"),
            7 => "connect".to_owned(),
            _ => format!("echo:bytes={block}"),
        }
    }

    fn timeline(&mut self, names: &[String], proxy: &Json, seconds: u64) -> Vec<Json> {
        let troubled = &names[..names.len().saturating_sub(1)];
        let mut timeline = Vec::new();
        for _ in 0..self.number(0, 6) {
            let at = self.number(1000, seconds * 1000 - 1000);
            let until = self.number(at, seconds * 1000 - 500);
            let (at, until) = (format!("{at}ms"), format!("{until}ms"));
            let host = if troubled.is_empty() { None } else { Some(self.one_of(troubled).clone()) };
            match (self.number(1, 8), host) {
                (1, Some(host)) => {
                    timeline.push(json!({ "at": at, "do": "crash", "host": host }));
                    timeline.push(json!({ "at": until, "do": "restart", "host": host }));
                }
                (2, Some(host)) => {
                    timeline.push(json!({ "at": at, "do": "partition", "between": ["proxy", host] }));
                    timeline.push(json!({ "at": until, "do": "heal", "between": ["proxy", host] }));
                }
                (3, Some(host)) => {
                    timeline.push(json!({ "at": at, "do": "hold", "between": ["proxy", host] }));
                    timeline.push(json!({ "at": until, "do": "heal", "between": ["proxy", host] }));
                }
                (4, Some(host)) => {
                    timeline.push(json!({ "at": at, "do": "partition-one-way", "from": host, "to": "proxy" }));
                    timeline.push(json!({ "at": until, "do": "heal", "between": ["proxy", host] }));
                }
                (5, _) => {
                    timeline.push(json!({ "at": at, "do": "partition", "between": ["proxy", "c1"] }));
                    timeline.push(json!({ "at": until, "do": "heal", "between": ["proxy", "c1"] }));
                }
                (6, _) => {
                    let mut changed = proxy.clone();
                    for upstream in changed["upstream_proxies"].as_array_mut().into_iter().flatten() {
                        if self.once_in(2) {
                            upstream["weight"] = json!(self.number(1, 9));
                        }
                    }
                    timeline.push(json!({ "at": at, "do": "reload", "proxy": changed }));
                }
                (7, _) => timeline.push(json!({ "at": at, "do": "clock-jump", "by": "-1h" })),
                _ => {}
            }
        }
        if self.once_in(8) {
            let at = self.number(1000, seconds * 1000);
            timeline.push(json!({ "at": format!("{at}ms"), "do": "drain" }));
        }
        timeline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_makes_a_scenario_and_always_the_same() {
        for index in 0..500 {
            let seed = seed_of(1, index);
            let once = serde_json::to_string(&scenario(seed)).unwrap();
            assert_eq!(once, serde_json::to_string(&scenario(seed)).unwrap(), "seed {seed}");
        }
        assert_ne!(seed_of(1, 1), seed_of(1, 2));
        assert_ne!(seed_of(1, 1), seed_of(2, 1));
    }
}
