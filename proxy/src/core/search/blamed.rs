//! Who is to blame for what can't tell: told a second time, after ARCHITECTURE.md ("Whose fault").

use crate::core::attribution::{Attributed, Blame, DEFAULT_MEMORY};
use crate::core::health::{AttemptResult, Charge};
use crate::core::time::Timestamp;
use crate::core::upstream::{Attempt, UpstreamId};

/// The law that was broken, and by what.
pub(super) type Broken = String;

/// `broken` unless it `holds`.
pub(super) fn law(holds: bool, broken: impl FnOnce() -> Broken) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(broken()) }
}

/// A failure that can't tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    pub(super) attempt: Attempt,
    /// No reply, which is not alike to a status.
    pub(super) silence: bool,
}

/// What is remembered of a target until another upstream opens it, or delivers from it.
pub(super) type Memory = Vec<(Doubt, Timestamp)>;

/// A blame that is not the upstream's does nothing to its health.
pub(super) fn harmless(one: &Attributed) -> Result<(), Broken> {
    let harmless = one.blame != Blame::Upstream && one.result() == AttemptResult::Neutral;
    law(harmless, || format!("nobody opened it, and an upstream is charged: {one:?}"))
}

/// All others that failed on what `by` did are charged, and once each.
pub(super) fn charged_by(
    by: UpstreamId,
    remembered: Memory,
    doubts: &[Doubt],
    (blamed, charge): (&[Attributed], Charge),
    now: Timestamp,
) -> Result<(), Broken> {
    let fresh = remembered.into_iter().filter(|(_, since)| now.since(*since) < DEFAULT_MEMORY);
    let mut guilty: Vec<Attempt> = fresh.map(|(doubt, _)| doubt.attempt).collect();
    // It failed on the target itself, so the target has changed.
    if guilty.iter().any(|attempt| attempt.upstream == by) {
        guilty.clear();
    }
    guilty.extend(doubts.iter().map(|doubt| doubt.attempt));
    let charged: Vec<Attempt> = blamed.iter().map(|one| one.attempt).collect();
    law(charged == guilty, || format!("{by} could, so {guilty:?} are guilty and not {charged:?}"))?;
    for one in blamed {
        let is_charged = one.blame == Blame::Upstream && one.result() == AttemptResult::Failure(charge);
        law(is_charged, || format!("{by} could, so it is the upstream's {charge:?}: {one:?}"))?;
    }
    Ok(())
}
