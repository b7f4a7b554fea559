//! The proxy's own log of a run on real sockets is recorded, and its replay held against it.

use std::path::Path;

use super::{Fidelity, Key, Recording, record};
use crate::scenario::{Scenario, Seen};
use crate::world::EngineKind;

/// Names are the same each time, so that a log replays in the same way.
const KEY: &[u8] = b"what is called how does not matter here";
/// More requests than a shipped scenario makes: nothing is thinned.
const MOST: usize = 100_000;

/// Plays `scenario` on real sockets, records the log that the proxy wrote of it, replays that with the default engine, and holds it
/// against what was seen. In the folder `keep` it leaves what the log was, the configuration that it began with, and the day that was made of
/// them: `record` makes it again.
///
/// # Errors
/// The scenario can't be played on real sockets, its log can't be recorded, or a file can't be written. The sentence says why.
pub fn of_live_log(scenario: &Scenario, keep: Option<&Path>) -> Result<(Seen, Fidelity), String> {
    let played = EngineKind::Live.play_and_keep_log(scenario).map_err(|why| why.join("; "))?;
    let log = played.log.ok_or("the proxy has no log")?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("proxy.log");
    std::fs::write(&path, &log.lines).map_err(|error| error.to_string())?;
    let kept = |ending: &str, text: &str| {
        let Some(folder) = keep else { return Ok(()) };
        let path = folder.join(format!("{}.{ending}", scenario.name));
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    kept("log", &log.lines)?;
    kept("config.json", &log.config)?;
    let recorded = record(&[path], log.config.as_bytes(), &Key::new(KEY)?, MOST, |_| {})?;
    let Recording { scenario: mut day, text, .. } = recorded;
    kept("incident.json", &text)?;
    let seen = day.seen.take().unwrap_or_default();
    let replay = EngineKind::default().play(&day, day.seed).map_err(|why| why.join("; "))?;
    // Ejections, recoveries and failures are held to the bounds; how fast a busy machine was says nothing of the replay.
    let fidelity = Fidelity::of_late(&seen, &replay.trace, EngineKind::Live.tolerance());
    Ok((seen, fidelity))
}
