//! Each run of a sweep has a seed, and each seed stands for one made-up scenario.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value as Json, json};

use super::draw::{Draw, Feature};
use crate::scenario::{self, Scenario};

/// The seed of run `index` of the sweep with seed `master`.
pub fn seed_of(master: u64, index: u64) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(master);
    random.set_stream(index);
    random.next_u64()
}

/// The scenario that `seed` stands for.
pub fn scenario(seed: u64) -> Scenario {
    let text = Draw::new(seed).scenario(seed).to_string();
    scenario::parse(&text)
        .unwrap_or_else(|problems| panic!("seed {seed} made a scenario that is wrong: {problems:?}\n{text}"))
}

impl Draw {
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
        if self.has(Feature::Herd) {
            clients.push(self.herd(seconds));
        }
        let timeline = self.timeline(&upstreams, &proxy, seconds);
        json!({
            "name": format!("swarm-{seed}"), "story": format!("Made up by a sweep: {:?}.", self.on), "seed": seed,
            "duration": format!("{seconds}s"), "network": self.network(), "proxy": proxy,
            "upstreams": upstreams, "clients": clients, "timeline": timeline,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    /// A feature that no seed ever shows would be useless.
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
