//! Scenarios made up from a seed, so that a sweep of many finds combinations that nobody thought of.
//!
//! Each seed first draws which features its scenario has at all, and only then how much of each: with everything on
//! everywhere, each would drown the others, and runs would differ in degree but not in kind (Groce et al., Swarm
//! Testing, 2012).

mod timeline;

use clap::ValueEnum;
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

/// What a scenario may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Feature {
    Latency,
    Jitter,
    Loss,
    Bandwidth,
    CoarseTick,
    Weights,
    WeightZero,
    Disabled,
    UpstreamAuth,
    ClientAuth,
    Checks,
    MaxAttempts,
    SlowUpstreams,
    Faults,
    Arming,
    Names,
    Herd,
    CrashUpstream,
    CrashProxy,
    Partition,
    Hold,
    OneWay,
    CutOffClient,
    ReloadWeights,
    ReloadMembers,
    ReloadBroken,
    ClockJump,
    Drain,
}

use Feature::*;

/// A name that leads to the first upstream, until it leads elsewhere.
const NAME: &str = "moving.test";

/// The seed of run `index` of the sweep with seed `master`.
pub fn seed_of(master: u64, index: u64) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(master);
    random.set_stream(index);
    random.next_u64()
}

/// The scenario that `seed` stands for.
pub fn scenario(seed: u64) -> Scenario {
    let mut draw = Draw { random: ChaCha8Rng::seed_from_u64(seed), on: Vec::new() };
    draw.on = draw.features();
    let text = draw.scenario(seed).to_string();
    scenario::parse(&text)
        .unwrap_or_else(|problems| panic!("seed {seed} made a scenario that is wrong: {problems:?}\n{text}"))
}

struct Draw {
    random: ChaCha8Rng,
    on: Vec<Feature>,
}

/// What the proxy asks of clients.
const PASSWORD: &str = "correct-horse";

impl Draw {
    /// Each is on in one of two scenarios, but for some that leave little of a run to be judged.
    fn features(&mut self) -> Vec<Feature> {
        let mut on = Vec::new();
        for feature in Feature::value_variants() {
            let times = match feature {
                Herd | MaxAttempts | CrashProxy | Drain => 6,
                _ => 2,
            };
            if self.once_in(times) {
                on.push(*feature);
            }
        }
        // Credentials follow the entry in the configuration, not the host that its name leads to.
        if on.contains(&Names) {
            on.retain(|feature| *feature != UpstreamAuth);
        }
        // A proxy that was killed while it drained starts again and does not drain.
        if on.contains(&Drain) {
            on.retain(|feature| *feature != CrashProxy);
        }
        on
    }

    fn has(&self, feature: Feature) -> bool {
        self.on.contains(&feature)
    }

    /// A number from `least` to `most`.
    fn number(&mut self, least: u64, most: u64) -> u64 {
        least + self.random.next_u64() % (most - least + 1)
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
        // The last one is left alone, so that there is often somebody who must serve.
        let (sound, others) = names.split_last().expect("there is at least one");
        let mut upstreams: Vec<Json> = others.iter().map(|name| self.upstream(name)).collect();
        upstreams.push(json!({ "name": sound }));
        let proxy = self.proxy(&upstreams);
        let mut clients = self.clients(seconds);
        if self.has(Herd) {
            clients.push(self.herd(seconds));
        }
        let timeline = self.timeline(&upstreams, &proxy, seconds);
        json!({
            "name": format!("swarm-{seed}"), "story": format!("Made up by a sweep: {:?}.", self.on), "seed": seed,
            "duration": format!("{seconds}s"), "network": self.network(), "proxy": proxy,
            "upstreams": upstreams, "clients": clients, "timeline": timeline,
        })
    }

    fn network(&mut self) -> Json {
        let mut network = json!({});
        if self.has(Latency) {
            network["latency"] = json!(format!("{}ms", self.number(0, 40)));
        }
        if self.has(Jitter) {
            network["jitter"] = json!(format!("{}ms", self.number(1, 60)));
        }
        if self.has(Loss) {
            network["loss"] = json!(self.number(1, 30) as f64 / 1000.0);
        }
        if self.has(Bandwidth) {
            // Enough for all clients at once: a line that is too narrow is a fault, and this one is nobody's.
            network["bytes_per_second"] = json!(self.number(20_000_000, 100_000_000));
        }
        if self.has(CoarseTick) {
            network["tick"] = json!(format!("{}ms", self.number(2, 5)));
        }
        if self.has(Names) {
            network["dns"] = json!({ NAME: ["u1"] });
        }
        network
    }

    /// One that may go wrong.
    fn upstream(&mut self, name: &str) -> Json {
        let mut upstream = json!({ "name": name });
        if self.has(SlowUpstreams) && self.once_in(2) {
            upstream["latency"] = json!(format!("{}ms", self.number(1, 300)));
        }
        if self.has(UpstreamAuth) && self.once_in(2) {
            upstream["auth"] = json!(format!("{name}:secret-of-{name}"));
        }
        let mut faults = Vec::new();
        if self.has(Faults) && self.once_in(2) {
            faults.push(self.fault());
        }
        if self.has(Arming) && self.once_in(2) {
            let mut fault = self.fault();
            fault["id"] = json!("later");
            fault["armed"] = json!(false);
            faults.push(fault);
        }
        if !faults.is_empty() {
            upstream["plan"] = json!({ "faults": faults });
        }
        upstream
    }

    fn fault(&mut self) -> Json {
        let mut when = json!({});
        if self.once_in(2) {
            when["from"] = json!(format!("{}s", self.number(1, 5)));
            when["until"] = json!(format!("{}s", self.number(6, 30)));
        }
        let fault = *self.one_of(FAULTS);
        if !matches!(fault, "refuse" | "die" | "flap" | "brown-out") && self.once_in(2) {
            when["probability"] = json!(self.number(1, 9) as f64 / 10.0);
        }
        json!({ "fault": fault, "when": when })
    }

    fn proxy(&mut self, upstreams: &[Json]) -> Json {
        let entries: Vec<Json> = (upstreams.iter().enumerate())
            .map(|(index, upstream)| {
                let last = index + 1 == upstreams.len();
                let name = upstream["name"].as_str().unwrap_or_default();
                let host = if self.has(Names) && index == 0 { NAME } else { name };
                let user = match upstream["auth"].as_str() {
                    // Now and then the wrong one.
                    Some(_) if self.once_in(4) => format!("{name}:guessing@"),
                    Some(pair) => format!("{pair}@"),
                    None => String::new(),
                };
                let mut entry = json!({ "url": format!("http://{user}{host}:8080") });
                if self.has(Weights) {
                    entry["weight"] = json!(self.number(1, 5));
                }
                if self.has(WeightZero) && !last && self.once_in(3) {
                    entry["weight"] = json!(0);
                }
                if self.has(Disabled) && !last && self.once_in(3) {
                    entry["enabled"] = json!(false);
                }
                entry
            })
            .collect();
        let mut health = json!({
            "failure_threshold": self.number(1, 4),
            "backoff_base": format!("{}s", self.number(1, 5)),
            "backoff_max": format!("{}s", self.number(5, 15)),
        });
        if self.has(Checks) {
            health["enabled"] = json!(true);
            health["interval_seconds"] = json!(self.number(1, 5));
            health["timeout_seconds"] = json!(self.number(1, 5));
            health["endpoints"] = json!(["echo.mock:80"]);
        }
        let mut proxy = json!({
            "upstream_proxies": entries, "health_check": health,
            "timeouts": { "connect": "1s", "reply": "3s", "half_closed": "20s", "dns": "2s" },
            "server": { "drain_timeout": format!("{}s", self.number(1, 20)) },
        });
        if self.has(MaxAttempts) {
            proxy["failover"] = json!({ "max_attempts": self.number(1, 3) });
        }
        if self.has(ClientAuth) {
            let users = json!([{ "username": "alice", "password": PASSWORD }]);
            proxy["authentication"] = json!({ "enabled": true, "users": users });
        }
        proxy
    }

    /// Many clients at once.
    fn herd(&mut self, seconds: u64) -> Json {
        let mut herd = json!({
            "name": "herd", "requests": self.number(50, 200), "rate": 1000, "do": format!("echo:bytes={}", self.number(1, 2000)),
            "from": format!("{}s", self.number(1, seconds - 1)),
        });
        if self.has(ClientAuth) {
            herd["users"] = json!([format!("alice:{PASSWORD}")]);
        }
        herd
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
                if self.has(ClientAuth) {
                    // Now and then a wrong one.
                    let password = if number > 1 && self.once_in(4) { "guessing" } else { PASSWORD };
                    client["users"] = json!([format!("alice:{password}")]);
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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A feature that no seed ever shows is none.
    #[test]
    fn every_feature_is_on_in_some_scenarios_and_off_in_others() {
        let stories: Vec<String> = (0..200).map(|index| scenario(seed_of(1, index)).story).collect();
        for feature in Feature::value_variants() {
            let word = format!("{feature:?}");
            let has = |story: &&String| story.split(|one: char| !one.is_alphanumeric()).any(|one| one == word);
            let with = stories.iter().filter(has).count();
            assert!((5..195).contains(&with), "{feature:?}: {with} of 200");
        }
        let does = |index| serde_json::to_string(&scenario(seed_of(1, index)).timeline).unwrap();
        let all: String = (0..200).map(does).collect();
        for word in ["arm", "disarm", "dns", "crash", "partition", "hold", "partition-one-way", "reload", "drain"] {
            assert!(all.contains(&format!("\"do\":\"{word}\"")), "{word}");
        }
    }

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
