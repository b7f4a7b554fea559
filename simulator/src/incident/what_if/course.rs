//! The course of a day: what is drawn of it, whether it was recorded or played.

use std::time::Duration;

use crate::incident::day::Sight;
use crate::record::{ScenarioEvent, Trace, What};
use crate::scenario::{PROXY, Piece, Scenario, Seen, Turn};

/// A day has about so many pieces, none shorter than a second.
const PIECES: u32 = 100;

/// A day over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// One in so many requests is replayed. Pieces count all.
    pub one_in: f64,
    /// How long each piece is.
    pub piece: Duration,
    /// What was seen in each, from the first one on.
    pub pieces: Vec<Piece>,
    /// Ejections and recoveries, in order.
    pub turns: Vec<Turn>,
}

impl Course {
    /// That of a recorded day.
    pub fn recorded(seen: &Seen) -> Self {
        Course {
            one_in: seen.one_in.max(1.0),
            piece: seen.piece.get(),
            pieces: seen.pieces.clone(),
            turns: seen.turns.clone(),
        }
    }

    /// That of a run of `scenario`, up to the end of its story.
    pub(super) fn played(scenario: &Scenario, trace: &Trace) -> Self {
        let piece = scenario.duration.get() / PIECES;
        let mut sight = Sight::in_pieces_of(Duration::from_secs(piece.as_secs() + 1));
        for line in &trace.lines {
            match &line.what {
                What::Scenario(ScenarioEvent::Phase { name: "liveness" }) => break,
                What::Proxy(event) if line.host.as_str() == PROXY => sight.see(line.at(), event),
                _ => {}
            }
        }
        Course::recorded(&sight.seen().0)
    }

    /// The requests of all pieces, and those of them that did not end well.
    pub fn requests(&self) -> (u64, u64) {
        self.pieces.iter().fold((0, 0), |(all, failed), piece| (all + piece.requests, failed + piece.failed))
    }
}
