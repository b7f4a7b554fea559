//! Verdicts on a load run: a figure, its bound, and whether the bound is kept. What can't be judged has not passed, and
//! has not failed either: it has an exit status of its own.

pub mod failover;
pub(crate) mod ledger;
pub(crate) mod periods;
pub(crate) mod significance;
pub mod threshold;
pub(crate) mod weights;

use serde::{Deserialize, Serialize};

/// What a verdict says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The bound is kept.
    Kept,
    /// The run does not show whether it is.
    NotJudgeable,
    /// The bound is missed.
    Missed,
}

impl Finding {
    /// The word that reports print for it.
    pub fn word(self) -> &'static str {
        match self {
            Finding::Kept => "PASS",
            Finding::NotJudgeable => "NOT JUDGEABLE",
            Finding::Missed => "FAIL",
        }
    }
}

/// The judgement of one property of a load run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What was judged.
    pub name: String,
    /// Whether the bound is kept.
    pub finding: Finding,
    /// What was found, against what bound.
    pub text: String,
}

impl Verdict {
    /// Makes the verdict on `name`: the bound is kept, or it is missed.
    pub fn new(name: impl Into<String>, passed: bool, text: impl Into<String>) -> Self {
        let finding = if passed { Finding::Kept } else { Finding::Missed };
        Verdict { name: name.into(), finding, text: text.into() }
    }

    /// Makes the verdict on `name` that there is none; `text` says why.
    pub fn not_judgeable(name: impl Into<String>, text: impl Into<String>) -> Self {
        Verdict { name: name.into(), finding: Finding::NotJudgeable, text: text.into() }
    }

    /// Whether the bound is kept.
    pub fn passed(&self) -> bool {
        self.finding == Finding::Kept
    }
}
