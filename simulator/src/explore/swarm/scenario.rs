//! Each run of a sweep has a seed, and each seed stands for one made-up scenario.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value as Json, json};

use super::draw::{Draw, Feature, Genome, Part, SECOND};
use crate::scenario::{self, PROXY, Scenario};

/// The seed of run `index` of the sweep with seed `master`.
pub fn seed_of(master: u64, index: u64) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(master);
    random.set_stream(index);
    random.next_u64()
}

/// The scenario that `genome` stands for.
pub fn scenario(genome: &Genome) -> Scenario {
    let text = Draw::new(genome).scenario(genome.seed).to_string();
    scenario::parse(&text)
        .unwrap_or_else(|problems| panic!("{genome:?} made a scenario that is wrong: {problems:?}\n{text}"))
}

impl Draw {
    fn scenario(&mut self, seed: u64) -> Json {
        let least = match () {
            () if self.has(Feature::BothKinds) => 3,
            () if self.has(Feature::Ambush) => 2,
            () => 1,
        };
        let count = self.number(1, 5).max(least);
        let names: Vec<String> = (1..=count).map(|number| format!("u{number}")).collect();
        let seconds = self.number(10, 40);
        // The last one is left alone, so that there is often somebody who must serve.
        let (sound, others) = names.split_last().expect("there is at least one");
        self.turn_to(Part::Upstreams);
        let mut upstreams: Vec<Json> = others.iter().map(|name| self.upstream(name)).collect();
        upstreams.push(self.sound(sound));
        self.turn_to(Part::Proxy);
        let proxy = self.proxy(&upstreams);
        self.turn_to(Part::Clients);
        // Whoever is out then has to come back without anybody's asking.
        let asked = if self.has(Feature::QuietEnd) { seconds / 3 } else { seconds };
        let mut clients = self.clients(asked);
        if self.has(Feature::Herd) {
            clients.push(self.herd(seconds));
        }
        let mut proxies = vec![(PROXY, proxy)];
        if self.has(Feature::SecondProxy) {
            self.turn_to(Part::SecondProxy);
            proxies.push((SECOND, self.proxy(&upstreams)));
            for client in &mut clients {
                if self.once_in(2) {
                    client["through"] = json!(SECOND);
                }
            }
        }
        self.turn_to(Part::BothKinds);
        self.both_kinds(&mut upstreams, &mut clients, asked);
        if self.has(Feature::AdminListener) {
            self.turn_to(Part::AdminListener);
            self.admin_listener(&mut proxies, &mut clients, seconds);
        }
        self.turn_to(Part::Timeline);
        let mut timeline = self.timeline(&upstreams, &proxies, &clients, seconds);
        self.turn_to(Part::Ambush);
        timeline.extend(self.ambush(&upstreams, &proxies, seconds));
        self.turn_to(Part::Network);
        let network = self.network();
        self.turn_to(Part::Chance);
        let chance = self.chance();
        // Variations of one scenario have its seed, and other features.
        let features = self.on.iter().fold(0_u64, |bits, feature| bits | 1 << *feature as u32);
        let mut scenario = json!({
            "name": format!("swarm-{seed}-{features:x}"), "story": format!("Made up by a sweep: {:?}.", self.on), "seed": seed,
            "duration": format!("{seconds}s"), "network": network, "chance": chance,
            "upstreams": upstreams, "clients": clients, "timeline": timeline,
        });
        for (host, proxy) in proxies {
            let place = if host == PROXY { &mut scenario["proxy"] } else { &mut scenario["further_proxies"][host] };
            *place = proxy;
        }
        scenario
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::world::EngineKind;

    fn of(engine: EngineKind, index: u64) -> Genome {
        Genome::new(seed_of(1, index), engine)
    }

    fn drawn(index: u64) -> Scenario {
        scenario(&of(EngineKind::TurmoilNet, index))
    }

    /// A feature that no seed ever shows would be useless.
    #[test]
    fn every_feature_is_on_in_some_scenarios_and_off_in_others() {
        let stories: Vec<String> = (0..200).map(|index| drawn(index).story).collect();
        for feature in Feature::value_variants() {
            let word = format!("{feature:?}");
            let has = |story: &&String| story.split(|one: char| !one.is_alphanumeric()).any(|one| one == word);
            let with = stories.iter().filter(has).count();
            assert!((5..195).contains(&with), "{feature:?}: {with} of 200");
        }
        let does = |index| serde_json::to_string(&drawn(index).timeline).unwrap();
        let all: String = (0..200).map(does).collect();
        for word in [
            "arm",
            "disarm",
            "dns",
            "crash",
            "partition",
            "hold",
            "partition-one-way",
            "reload",
            "drain",
            "steer",
            "close-tunnels",
        ] {
            assert!(all.contains(&format!("\"do\":\"{word}\"")), "{word}");
        }
    }

    /// A fault that no scenario has is not tested by any sweep.
    #[test]
    fn every_fault_is_drawn_but_those_that_the_engine_lacks() {
        let plans = |index| drawn(index).upstreams.into_iter().map(|one| one.plan.to_string()).collect::<String>();
        let all: String = (0..3000).map(plans).collect();
        for fault in faulty_upstream::CATALOGUE {
            let word = format!("\"fault\":\"{}\"", fault.name);
            assert_eq!(all.contains(&word), fault.name != "backlog-full", "{}", fault.name);
        }
    }

    #[test]
    fn every_seed_makes_a_scenario_that_its_engine_can_play_and_always_the_same() {
        for engine in [EngineKind::TurmoilNet, EngineKind::Turmoil] {
            let mut parent = of(engine, 0);
            for index in 0..300 {
                let genome = of(engine, index);
                let once = scenario(&genome);
                assert_eq!(engine.unsupported(&once), Vec::<String>::new(), "{genome:?}");
                let text = serde_json::to_string(&once).unwrap();
                assert_eq!(text, serde_json::to_string(&scenario(&genome)).unwrap(), "{genome:?}");
                parent = parent.varied(seed_of(2, index));
                assert_eq!(engine.unsupported(&scenario(&parent)), Vec::<String>::new(), "{parent:?}");
            }
        }
        assert_ne!(seed_of(1, 1), seed_of(1, 2));
        assert_ne!(seed_of(1, 1), seed_of(2, 1));
    }

    #[test]
    fn a_variation_differs_from_its_parent_in_little() {
        let parent = of(EngineKind::TurmoilNet, 3);
        let mut same_draws = 0;
        for index in 0..100 {
            let child = parent.varied(seed_of(5, index));
            same_draws += usize::from(child.seed == parent.seed);
            let kept = child.features.iter().filter(|one| parent.features.contains(one)).count();
            assert!(kept + 5 >= parent.features.len(), "{child:?}");
        }
        assert!((20..60).contains(&same_draws), "{same_draws}");
    }
}
