//! What an upstream writes down: every connection and every request, in the order they began or ended.
//!
//! Bounded: the oldest entries make room and are counted. Counts are kept apart and never lose any.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Serialize;
use tokio::sync::Notify;

use crate::request::Asked;
use crate::checksum::Tally;

/// Tells the wall time for stamps; in a simulation, the simulated one.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Hears of every entry as it is written, for JSON lines in a file. Called under the journal's lock: be brief.
pub type Sink = Box<dyn Fn(&Entry) + Send + Sync>;

/// Entries kept where nothing else is said.
pub const DEFAULT_CAPACITY: usize = 65_536;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Counts up by one from 1; a gap means that entries were dropped.
    pub seq: u64,
    /// Wall time, RFC 3339.
    #[serde(serialize_with = "rfc3339")]
    pub at: SystemTime,
    /// Which upstream.
    #[serde(serialize_with = "plain")]
    pub upstream: Arc<str>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

fn plain<S: serde::Serializer>(name: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name)
}

fn rfc3339<S: serde::Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_micros(*at))
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A client connected.
    Opened {
        /// The connection's number on this upstream, from 1.
        connection: u64,
    },
    /// A request is over.
    Request(Record),
    /// A connection is over.
    Closed {
        /// Its number.
        connection: u64,
        /// Requests that came on it.
        requests: u64,
        /// Why, where something other than the client's orderly end closed it.
        reason: Option<&'static str>,
        /// Faults that were done to the connection as a whole.
        faults: Vec<String>,
    },
    /// The listener changed: faults of the whole upstream.
    Listener {
        /// `open`, `closed`, `full`.
        state: &'static str,
        /// Faults that asked for it.
        faults: Vec<String>,
    },
    /// The fault plan was changed while it ran.
    Plan {
        /// How.
        change: String,
    },
}

/// A request that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Which connection of the upstream, from 1.
    pub connection: u64,
    /// Which request of the connection, from 1.
    pub request: u64,
    /// The left-most label of the target's name, where it has one to spare.
    pub id: Option<String>,
    /// As sent.
    pub method: String,
    /// `host:port`.
    pub target: String,
    /// The user it came with, verified or not.
    pub user: Option<String>,
    /// The status that was sent; `None` where no well-formed status line was.
    pub status: Option<u16>,
    /// How it went.
    pub outcome: Outcome,
    /// Bytes from the client: of the tunnel, or of the request's body.
    pub up: Tally,
    /// Bytes to the client: of the tunnel, or of the response's body.
    pub down: Tally,
    /// How the client ended its side.
    pub client_end: End,
    /// How this upstream ended its side.
    pub upstream_end: End,
    /// The faults that were done to it, by the ids of their plan entries.
    pub faults: Vec<String>,
}

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer was sent to its end; of a tunnel, both sides ended in order.
    Completed,
    /// Answered with 407: no credentials, or wrong ones.
    Refused,
    /// Answered with 502: the target could not be reached.
    Unreachable,
    /// Cut before its end, by the client, by the target, or because this upstream was stopped.
    Aborted,
    /// A fault answered in the upstream's place, or ended the tunnel.
    Faulted,
}

/// How one side of a connection ended, as far as this upstream could see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It had not ended when the request was over.
    Open,
    /// In order.
    Fin,
    /// By a reset.
    Rst,
}

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

/// An upstream's journal. All its methods may be called from anywhere.
pub struct Journal {
    upstream: Arc<str>,
    clock: Clock,
    sink: Option<Sink>,
    capacity: usize,
    book: Mutex<Book>,
    changed: Notify,
}

#[derive(Default)]
struct Book {
    entries: VecDeque<Entry>,
    last_seq: u64,
    counts: Counts,
}

impl Journal {
    /// An empty one of at most `capacity` entries for the upstream of that name.
    pub fn new(upstream: &str, clock: Clock, capacity: usize, sink: Option<Sink>) -> Self {
        let book = Mutex::new(Book::default());
        Journal { upstream: upstream.into(), clock, sink, capacity: capacity.max(1), book, changed: Notify::new() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes `event` down, now.
    pub fn write(&self, event: Event) {
        let at = (self.clock)();
        let mut book = self.book();
        book.counts.count(&event);
        book.last_seq += 1;
        let entry = Entry { seq: book.last_seq, at, upstream: self.upstream.clone(), event };
        if let Some(sink) = &self.sink {
            sink(&entry);
        }
        if book.entries.len() == self.capacity {
            book.entries.pop_front();
            book.counts.entries_dropped += 1;
        }
        book.entries.push_back(entry);
        drop(book);
        self.changed.notify_waiters();
    }

    pub(crate) fn request_began(&self) {
        self.book().counts.open_requests += 1;
    }

    /// The entries that are kept, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.book().entries.iter().cloned().collect()
    }

    /// The requests among the entries that are kept, oldest first.
    pub fn requests(&self) -> Vec<Record> {
        let book = self.book();
        book.entries
            .iter()
            .filter_map(|entry| if let Event::Request(record) = &entry.event { Some(record) } else { None })
            .cloned()
            .collect()
    }

    /// The sums.
    pub fn counts(&self) -> Counts {
        self.book().counts
    }

    /// Forgets entries and sums; what is open stays counted as open. `seq` and connection numbers go on.
    pub fn reset(&self) {
        let mut book = self.book();
        book.entries.clear();
        let Counts { open_connections, open_requests, .. } = book.counts;
        book.counts = Counts { open_connections, open_requests, ..Counts::default() };
    }

    /// Waits until `reached` holds for the sums; it is asked again at every entry. Cancel safe.
    pub async fn until(&self, reached: impl Fn(&Counts) -> bool) -> Counts {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // Registered before the sums are read, so that an entry in between is not missed.
            changed.as_mut().enable();
            let counts = self.counts();
            if reached(&counts) {
                return counts;
            }
            changed.await;
        }
    }

    /// The entries as JSON lines.
    pub fn json_lines(&self) -> String {
        let mut text = String::new();
        for entry in self.entries() {
            text.push_str(&entry.to_json());
            text.push('\n');
        }
        text
    }
}

impl Entry {
    /// As one line of JSON, without the line's end.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain strings and numbers always serialise")
    }
}

impl Counts {
    fn count(&mut self, event: &Event) {
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

/// A request while it runs. Dropped, it becomes the journal's [`Record`], whatever ended it.
pub struct Recording {
    journal: Arc<Journal>,
    record: Option<Record>,
}

impl Recording {
    /// Begins one: `aborted` until something better is known.
    pub(crate) fn begin(journal: &Arc<Journal>, asked: &Asked) -> Self {
        journal.request_began();
        let record = Record {
            connection: asked.connection,
            request: asked.request,
            id: asked.target.id().map(str::to_owned),
            method: asked.method.clone(),
            target: asked.target.to_string(),
            user: asked.user.clone(),
            status: None,
            outcome: Outcome::Aborted,
            up: Tally::EMPTY,
            down: Tally::EMPTY,
            client_end: End::Open,
            upstream_end: End::Open,
            faults: Vec::new(),
        };
        Recording { journal: journal.clone(), record: Some(record) }
    }
}

impl std::ops::Deref for Recording {
    type Target = Record;

    fn deref(&self) -> &Record {
        self.record.as_ref().expect("only drop takes the record")
    }
}

impl std::ops::DerefMut for Recording {
    fn deref_mut(&mut self) -> &mut Record {
        self.record.as_mut().expect("only drop takes the record")
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            self.journal.write(Event::Request(record));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(capacity: usize) -> Journal {
        Journal::new("a", Arc::new(|| SystemTime::UNIX_EPOCH), capacity, None)
    }

    #[test]
    fn the_oldest_entries_make_room_and_are_counted() {
        let journal = journal(2);
        for connection in 1..=5 {
            journal.write(Event::Opened { connection });
        }
        let seqs: Vec<u64> = journal.entries().iter().map(|entry| entry.seq).collect();
        assert_eq!(seqs, [4, 5]);
        assert_eq!((journal.counts().entries_dropped, journal.counts().connections), (3, 5));
    }

    #[test]
    fn a_reset_forgets_all_but_what_is_open() {
        let journal = journal(9);
        journal.write(Event::Opened { connection: 1 });
        journal.write(Event::Opened { connection: 2 });
        journal.write(Event::Closed { connection: 1, requests: 0, reason: None, faults: Vec::new() });
        journal.reset();
        assert_eq!(journal.counts(), Counts { open_connections: 1, ..Counts::default() });
        assert!(journal.entries().is_empty());
    }

    #[test]
    fn a_line_is_flat_json_with_a_stamp_from_the_given_clock() {
        let journal = journal(9);
        journal.write(Event::Opened { connection: 7 });
        let line = r#"{"seq":1,"at":"1970-01-01T00:00:00.000000Z","upstream":"a","event":"opened","connection":7}"#;
        assert_eq!(journal.json_lines(), format!("{line}\n"));
    }
}
