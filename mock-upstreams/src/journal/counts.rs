//! The sums of a journal, which stay true when entries are dropped.

use serde::Serialize;

use super::entry::{Event, Outcome};

/// Sums since the start or the last [`Journal::reset`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Clients that connected.
    pub connections: u64,
    /// Clients that are connected.
    pub open_connections: u64,
    /// Requests that are over.
    pub requests: u64,
    /// Requests that are not.
    pub open_requests: u64,
    /// See [`Outcome::Completed`].
    pub completed: u64,
    /// See [`Outcome::Refused`].
    pub refused: u64,
    /// See [`Outcome::Unreachable`].
    pub unreachable: u64,
    /// See [`Outcome::Aborted`].
    pub aborted: u64,
    /// See [`Outcome::Faulted`].
    pub faulted: u64,
    /// Bytes from clients.
    pub bytes_up: u64,
    /// Bytes to clients.
    pub bytes_down: u64,
    /// Times that the listener changed.
    pub listener_changes: u64,
    /// Entries that the journal has dropped to stay within its bound.
    pub entries_dropped: u64,
}

impl Counts {
    pub(super) fn count(&mut self, event: &Event) {
        match event {
            Event::Opened { .. } => {
                self.connections += 1;
                self.open_connections += 1;
            }
            Event::Closed { .. } => self.open_connections -= 1,
            Event::Listener { .. } => self.listener_changes += 1,
            Event::Plan { .. } => {}
            Event::Request(record) => {
                self.requests += 1;
                self.open_requests -= 1;
                self.bytes_up += record.up.bytes;
                self.bytes_down += record.down.bytes;
                *match record.outcome {
                    Outcome::Completed => &mut self.completed,
                    Outcome::Refused => &mut self.refused,
                    Outcome::Unreachable => &mut self.unreachable,
                    Outcome::Aborted => &mut self.aborted,
                    Outcome::Faulted => &mut self.faulted,
                } += 1;
            }
        }
    }
}
