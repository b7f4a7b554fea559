//! Verdicts on a load run: a figure, its bound, and whether the bound is kept. What can't be judged has not passed.

pub mod failover;
pub(crate) mod ledger;
pub(crate) mod periods;
pub(crate) mod significance;
pub mod threshold;
pub(crate) mod weights;

use serde::{Deserialize, Serialize};

/// The judgement of one property of a load run.
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
    /// Makes the verdict on `name`.
    pub fn new(name: impl Into<String>, passed: bool, text: impl Into<String>) -> Self {
        Verdict { name: name.into(), passed, text: text.into() }
    }
}
