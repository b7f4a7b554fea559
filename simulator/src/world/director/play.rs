//! A play has four phases: the timeline of the scenario, a demand for progress, a demand for convergence, and the end.

use std::io;
use std::sync::Arc;

use super::stage::Stage;
use crate::record::RunRecord;
use crate::scenario::Scenario;
use crate::subject::Subject;
use crate::world::engine::RunsProxy;

/// Plays `scenario` with `seed` on an engine, with `subject` as the proxy, and keeps what the proxy logs if that is asked for.
///
/// # Errors
/// The machine lacks what the engine needs.
pub(in crate::world) fn play<E: RunsProxy>(
    subject: &Arc<Subject>,
    scenario: &Scenario,
    seed: u64,
    keeps_log: bool,
) -> io::Result<RunRecord> {
    Ok(act(Stage::<E>::set(subject, scenario, seed, keeps_log)?))
}

fn act<E: RunsProxy>(mut stage: Stage<'_, E>) -> RunRecord {
    let scenario = stage.scenario;
    stage.phase("safety");
    let mut entries: Vec<_> = scenario.timeline.iter().enumerate().collect();
    entries.sort_by_key(|(_, entry)| entry.at);
    for (index, entry) in entries {
        stage.engine.run(entry.at.get(), || false);
        stage.play_entry(index, &entry.action);
    }
    stage.engine.run(scenario.duration.get(), || false);
    stage.phase("liveness");
    let proxies = 0..stage.proxies.len();
    stage.heal();
    let mut stuck: Vec<_> = proxies.clone().filter_map(|place| stage.demand_progress(place)).collect();
    let mut left = stage.wait_for_clients();
    if stuck.is_empty() && stage.proxies.iter().any(|proxy| !proxy.draining) {
        stage.phase("convergence");
        proxies.clone().for_each(|place| stage.converge(place));
    }
    stage.phase("end");
    left.extend(proxies.flat_map(|place| stage.clear(place)));
    let gave_up = stage.engine.gave_up();
    if gave_up.is_some() {
        // The run was given up and its time stands still, so missing progress says nothing about the proxy.
        (stuck, left) = Default::default();
    }
    let panics = stage.engine.panics();
    let mut trace = stage.recorder.take();
    // Events of a live proxy are recorded when its log is read, which may be later than they happened.
    trace.lines.sort_by_key(|line| line.at_us);
    let (subject, log) = (stage.subject, stage.engine.proxy_log());
    let (clock_skew, tolerance) = (E::CLOCK_SKEW, E::TOLERANCE);
    RunRecord { trace, subject, panics, left, stuck, gave_up, clock_skew, tolerance, log }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::GaveUp;
    use crate::scenario::{self, HostName, PROXY};
    use crate::world::simulated::turmoil::Turmoil;
    use crate::world::simulated::turmoil_net::TurmoilNet;

    /// Plays a sound scenario in which the proxy's host also runs a task that works from 2 s on without end.
    fn spins<E: RunsProxy, F: Future<Output = ()>>(turn: impl Fn() -> F + 'static) {
        let text = r#"{"name": "x", "story": "x", "duration": "5s", "upstreams": [{"name": "a"}],
            "clients": [{"name": "k", "do": "echo", "requests": 5, "rate": 10}]}"#;
        let scenario = scenario::parse(text).unwrap();
        let mut stage = Stage::<E>::set(&Subject::netdrift(), &scenario, 1, false).unwrap();
        stage.engine.spawn(&HostName::new(PROXY), move |_| async move {
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
            loop {
                turn().await;
            }
        });
        let record = act(stage);
        assert!(
            matches!(&record.gave_up, Some(GaveUp::Spin { host, at, .. })
                if host.as_str() == PROXY && (1990..2010).contains(&at.as_millis())),
            "{:?}",
            record.gave_up
        );
        assert!(record.trace.lines.len() > 10, "what happened before is told");
    }

    #[test]
    fn a_task_that_works_at_one_instant_without_end_does_not_hang_the_run() {
        spins::<TurmoilNet, _>(tokio::task::yield_now);
        spins::<Turmoil, _>(tokio::task::yield_now);
        // A timer that is always due at once is the most common reason for a spin.
        spins::<TurmoilNet, _>(|| tokio::time::sleep(std::time::Duration::ZERO));
    }
}
