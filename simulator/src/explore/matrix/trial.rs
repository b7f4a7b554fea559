//! What a row of the matrix tries: a fault that proxies have to stand, or a feature that they claim.

use faulty_upstream::{CATALOGUE, Fault};

use super::feature_story;
use super::story::story;
use crate::scenario::Scenario;
use crate::subject::{Feature, Subject};

/// What a cell tries with its subject.
#[derive(Clone, Copy, Debug)]
pub enum Trial {
    /// One upstream goes wrong.
    Fault(&'static Fault),
    /// The subject is asked for what it claims. No upstream goes wrong.
    Feature(Feature),
}

impl Trial {
    /// All trials, in the order in which they are shown.
    pub fn all() -> impl Iterator<Item = Trial> {
        Trial::faults().chain(Trial::features())
    }

    /// Those of the faults.
    pub fn faults() -> impl Iterator<Item = Trial> {
        CATALOGUE.iter().map(Trial::Fault)
    }

    /// Those of the features that a run of its own shows.
    pub fn features() -> impl Iterator<Item = Trial> {
        Feature::ALL.into_iter().filter(|feature| feature_story::is_told(*feature)).map(Trial::Feature)
    }

    /// Its name. No two trials have the same.
    pub fn name(&self) -> &'static str {
        match self {
            Trial::Fault(fault) => fault.name,
            Trial::Feature(feature) => feature.as_str(),
        }
    }

    /// The scenario in which `subject` is tried.
    pub fn story(&self, subject: &Subject) -> Scenario {
        match self {
            Trial::Fault(fault) => story(fault, subject),
            Trial::Feature(feature) => feature_story::story(*feature, subject),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_trials_have_the_same_name() {
        let names: BTreeSet<&str> = Trial::all().map(|trial| trial.name()).collect();
        assert_eq!(names.len(), Trial::all().count());
        assert!(names.contains("refuse") && names.contains("weights"));
    }
}
