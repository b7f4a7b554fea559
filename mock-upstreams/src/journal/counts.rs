//! Keeps the sums of a journal, which stay true when entries are dropped.

use serde::Serialize;

use super::entry::{Event, Outcome};

/// Sums since the start or the last [`Journal::reset`](super::Journal::reset).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Connections that were opened.
    pub connections: u64,
    /// Connections that are open.
    pub open_connections: u64,
    /// Requests that are over.
    pub requests: u64,
    /// Requests that run.
    pub open_requests: u64,
    /// Requests whose outcome is [`Outcome::Completed`].
    pub completed: u64,
    /// Requests whose outcome is [`Outcome::Refused`].
    pub refused: u64,
    /// Requests whose outcome is [`Outcome::Unreachable`].
    pub unreachable: u64,
    /// Requests whose outcome is [`Outcome::Aborted`].
    pub aborted: u64,
    /// Requests whose outcome is [`Outcome::Faulted`].
    pub faulted: u64,
    /// Bytes from clients.
    pub bytes_up: u64,
    /// Bytes to clients.
    pub bytes_down: u64,
    /// How often the listener changed.
    pub listener_changes: u64,
    /// Entries that the journal dropped because it was full.
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
            Event::Plan { .. } | Event::Struck { .. } => {}
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
