//! A play has three phases: the timeline of the scenario, then a demand for progress, then the end.

use std::io;

use super::stage::Stage;
use crate::record::RunRecord;
use crate::scenario::Scenario;
use crate::world::engine::RunsProxy;

/// Plays `scenario` with `seed` on an engine.
///
/// # Errors
/// The machine lacks what the engine needs.
pub(in crate::world) fn play<E: RunsProxy>(scenario: &Scenario, seed: u64) -> io::Result<RunRecord> {
    let mut stage = Stage::<E>::set(scenario, seed)?;
    stage.phase("safety");
    let mut entries: Vec<_> = scenario.timeline.iter().enumerate().collect();
    entries.sort_by_key(|(_, entry)| entry.at);
    for (index, entry) in entries {
        stage.engine.run(entry.at.get(), || false);
        stage.play_entry(index, &entry.action);
    }
    stage.engine.run(scenario.duration.get(), || false);
    stage.phase("liveness");
    let stuck = stage.demand_progress();
    stage.phase("end");
    let left = stage.clear();
    let panics = stage.engine.panics();
    let mut trace = stage.recorder.take();
    // The log of a live proxy may be read later than it was written.
    trace.lines.sort_by_key(|line| line.at_us);
    Ok(RunRecord { trace, panics, left, stuck, clock_skew: E::CLOCK_SKEW, tolerance: E::TOLERANCE })
}
