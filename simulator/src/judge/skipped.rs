//! What can't judge a subject: laws that rest on what it lacks, and laws and expectations that need its own word.

use serde::{Deserialize, Serialize};

use super::checked::Kind;
use super::laws::{Law, NEED_FEATURES};
use crate::scenario::{Expectation, Scenario};
use crate::subject::Subject;

/// A law or an expectation by which a run was not judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    /// The law, or the place of the expectation.
    pub of: String,
    /// Why not.
    pub why: String,
}

/// Those of `laws` that can judge `subject`, and the others.
pub(super) fn judging(laws: &[Law], subject: &Subject) -> (Vec<Law>, Vec<Skipped>) {
    let mut able = Vec::new();
    let mut skipped = Vec::new();
    for law in laws {
        match lacks(law, subject) {
            None => able.push(*law),
            Some(why) => skipped.push(Skipped { of: law.name.to_owned(), why }),
        }
    }
    if !subject.tells() {
        // The rest of that law judges it: its processes have to end.
        skipped.push(Skipped { of: "leftovers: descriptors".to_owned(), why: untold(subject) });
    }
    (able, skipped)
}

fn lacks(law: &Law, subject: &Subject) -> Option<String> {
    if !subject.tells() && law.kind() != Kind::BlackBox {
        return Some(untold(subject));
    }
    let mut needed = NEED_FEATURES.iter().filter(|(name, _)| *name == law.name);
    needed.find_map(|(_, feature)| {
        Some(format!("{} lacks {feature}: {}", subject.file().title, subject.lacks(*feature)?))
    })
}

fn untold(subject: &Subject) -> String {
    format!("{} tells nothing of itself", subject.file().title)
}

/// The expectations of `scenario` that nobody can decide whom `subject` tells nothing.
pub(super) fn undecided(scenario: &Scenario, subject: &Subject) -> Vec<Skipped> {
    let expectations = scenario.expect.iter().enumerate();
    let needs = expectations.filter(|(_, expectation)| !subject.tells() && needs_the_proxys_word(expectation));
    needs.map(|(index, _)| Skipped { of: format!("expect[{index}]"), why: untold(subject) }).collect()
}

/// Whether only events of the proxy decide whether `expectation` is met.
const fn needs_the_proxys_word(expectation: &Expectation) -> bool {
    match expectation {
        Expectation::Picks { .. }
        | Expectation::Share { .. }
        | Expectation::Turn { .. }
        | Expectation::State { .. }
        | Expectation::Failover { .. }
        | Expectation::Seen { .. }
        | Expectation::Sometimes { .. } => true,
        Expectation::Reached { .. } | Expectation::Requests { .. } | Expectation::Latency { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::judge::LAWS;
    use crate::scenario;
    use crate::subject::named;

    #[test]
    fn netdrift_is_judged_by_all_laws_and_another_program_by_the_black_box_ones_that_rest_on_nothing_it_lacks() {
        let of = |name: &str| judging(LAWS, &named(name).unwrap());
        assert_eq!((of("netdrift").0.len(), of("netdrift").1.len()), (LAWS.len(), 0));
        let (able, skipped) = of("haproxy");
        assert_eq!(able.len() + skipped.len(), LAWS.len() + 1, "one is judged in part");
        assert!(able.iter().all(|law| law.kind() == Kind::BlackBox));
        let judged: BTreeSet<&str> = able.iter().map(|law| law.name).collect();
        assert!(
            ["answered", "bytes", "once", "converged", "abuse"].iter().all(|name| judged.contains(name)),
            "{judged:?}"
        );
        let why = |name: &str| skipped.iter().find(|one| one.of == name).unwrap().why.as_str();
        assert!(judged.contains("leftovers"));
        assert_eq!(why("leftovers: descriptors"), "HAProxy tells nothing of itself");
        assert_eq!(why("statistics"), "HAProxy tells nothing of itself");
        let reason = "it asks a failed server again at one interval, which does not grow";
        assert_eq!(why("left-alone"), format!("HAProxy lacks back-off: {reason}"));
    }

    #[test]
    fn a_law_of_features_is_a_law_that_there_is() {
        let black_box = |name: &str| LAWS.iter().any(|law| law.name == name && law.kind() == Kind::BlackBox);
        assert!(NEED_FEATURES.iter().all(|(name, _)| black_box(name)));
    }

    #[test]
    fn expectations_that_need_the_proxys_word_are_skipped_and_counted() {
        let story = r#"{"name": "x", "story": "x", "duration": "1s", "upstreams": [{"name": "a"}],
            "clients": [{"name": "c", "do": "echo", "requests": 1}],
            "expect": [{"what": "requests", "outcome": "ok", "exactly": 1}, {"what": "seen", "event": "drained"}]}"#;
        let story = scenario::parse(story).unwrap();
        let of =
            |name: &str| undecided(&story, &named(name).unwrap()).into_iter().map(|one| one.of).collect::<Vec<_>>();
        assert_eq!(of("squid"), ["expect[1]"]);
        assert_eq!(of("netdrift"), [""; 0]);
    }
}
