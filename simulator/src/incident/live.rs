//! The proxy's own log of a run on real sockets is recorded, and its replay held against it.

use super::{Fidelity, Key, Recording, record};
use crate::scenario::{Scenario, Seen};
use crate::world::EngineKind;

/// Names are the same each time, so that a log replays in the same way.
const KEY: &[u8] = b"what is called how does not matter here";
/// More requests than a shipped scenario makes: nothing is thinned.
const MOST: usize = 100_000;

/// Plays `scenario` on real sockets, records the log that the proxy wrote of it, replays that with the default engine, and holds it
/// against what was seen.
///
/// # Errors
/// The scenario can't be played on real sockets, or its log can't be recorded. The sentence says why.
pub fn of_live_log(scenario: &Scenario) -> Result<(Seen, Fidelity), String> {
    let played = EngineKind::Live.play_and_keep_log(scenario).map_err(|why| why.join("; "))?;
    let log = played.log.ok_or("the proxy has no log")?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("proxy.log");
    std::fs::write(&path, &log.lines).map_err(|error| error.to_string())?;
    let recorded = record(&[path], log.config.as_bytes(), &Key::new(KEY)?, MOST, |_| {})?;
    let Recording { scenario: mut day, .. } = recorded;
    let seen = day.seen.take().unwrap_or_default();
    let replay = EngineKind::default().play(&day, day.seed).map_err(|why| why.join("; "))?;
    // Ejections, recoveries and failures are held to the bounds; how fast a busy machine was says nothing of the replay.
    let fidelity = Fidelity::of_late(&seen, &replay.trace, EngineKind::Live.tolerance());
    Ok((seen, fidelity))
}
