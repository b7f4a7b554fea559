//! Verdicts: a figure, its bound, and whether it is kept. What can't be judged has not passed.

pub mod expect;
pub mod failover;
pub mod ledger;
pub(crate) mod periods;
pub(crate) mod significance;
pub mod weights;

use serde::{Deserialize, Serialize};

/// One judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What was judged.
    pub name: String,
    /// Whether the bound is kept.
    pub passed: bool,
    /// What was found, against what bound.
    pub text: String,
}

impl Verdict {
    /// What was found of `name`.
    pub fn new(name: impl Into<String>, passed: bool, text: impl Into<String>) -> Self {
        Verdict { name: name.into(), passed, text: text.into() }
    }
}
