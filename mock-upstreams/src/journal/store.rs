//! Stores a bounded number of entries, and their sums.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;

use super::counts::Counts;
use super::entry::{Entry, Event, Record};

/// Tells the wall-clock time for the entries. In a simulation it tells the simulated time.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Gets every entry as it is written, for instance to append it to a file. It is called under the journal's lock, so it
/// must be brief.
pub type Sink = Box<dyn Fn(&Entry) + Send + Sync>;

/// The number of entries that the binaries keep.
pub const DEFAULT_CAPACITY: usize = 65_536;

/// An upstream's journal. It can be shared between tasks and threads.
pub struct Journal {
    upstream: Arc<str>,
    clock: Clock,
    sink: Option<Sink>,
    capacity: usize,
    contents: Mutex<Contents>,
    changed: Notify,
}

#[derive(Default)]
struct Contents {
    entries: VecDeque<Entry>,
    last_seq: u64,
    counts: Counts,
}

impl Journal {
    /// Makes an empty journal for the upstream of that name, which keeps at most `capacity` entries.
    pub fn new(upstream: &str, clock: Clock, capacity: usize, sink: Option<Sink>) -> Self {
        let contents = Mutex::new(Contents::default());
        Journal { upstream: upstream.into(), clock, sink, capacity: capacity.max(1), contents, changed: Notify::new() }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes `event` down, with the time of the clock.
    pub fn write(&self, event: Event) {
        let at = (self.clock)();
        let mut contents = self.contents();
        contents.counts.count(&event);
        contents.last_seq += 1;
        let entry = Entry { seq: contents.last_seq, at, upstream: self.upstream.clone(), event };
        if let Some(sink) = &self.sink {
            sink(&entry);
        }
        if contents.entries.len() == self.capacity {
            contents.entries.pop_front();
            contents.counts.entries_dropped += 1;
        }
        contents.entries.push_back(entry);
        drop(contents);
        self.changed.notify_waiters();
    }

    pub(super) fn request_began(&self) {
        self.contents().counts.open_requests += 1;
    }

    /// The entries that are kept, from the oldest on.
    pub fn entries(&self) -> Vec<Entry> {
        self.contents().entries.iter().cloned().collect()
    }

    /// The requests among the entries that are kept, from the oldest on.
    pub fn requests(&self) -> Vec<Record> {
        let contents = self.contents();
        contents
            .entries
            .iter()
            .filter_map(|entry| if let Event::Request(record) = &entry.event { Some(record) } else { None })
            .cloned()
            .collect()
    }

    /// The sums since the start or the last [`Journal::reset`].
    pub fn counts(&self) -> Counts {
        self.contents().counts
    }

    /// Empties the journal and sets the sums to zero. Open connections and requests stay counted as open, and the numbers
    /// of entries and connections go on.
    pub fn reset(&self) {
        let mut contents = self.contents();
        contents.entries.clear();
        let Counts { open_connections, open_requests, .. } = contents.counts;
        contents.counts = Counts { open_connections, open_requests, ..Counts::default() };
    }

    /// Waits until `reached` holds for the sums. It is called again after every entry. Cancel safe.
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

    /// The entries that are kept, as JSON lines.
    pub fn json_lines(&self) -> String {
        let mut text = String::new();
        for entry in self.entries() {
            text.push_str(&entry.to_json());
            text.push('\n');
        }
        text
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
            journal.write(Event::Opened { connection, peer: None });
        }
        let seqs: Vec<u64> = journal.entries().iter().map(|entry| entry.seq).collect();
        assert_eq!(seqs, [4, 5]);
        assert_eq!((journal.counts().entries_dropped, journal.counts().connections), (3, 5));
    }

    #[test]
    fn a_reset_forgets_all_but_what_is_open() {
        let journal = journal(9);
        journal.write(Event::Opened { connection: 1, peer: None });
        journal.write(Event::Opened { connection: 2, peer: None });
        journal.write(Event::Closed { connection: 1, requests: 0, reason: None });
        journal.reset();
        assert_eq!(journal.counts(), Counts { open_connections: 1, ..Counts::default() });
        assert!(journal.entries().is_empty());
    }

    #[test]
    fn a_line_is_flat_json_with_a_stamp_from_the_given_clock() {
        let journal = journal(9);
        journal.write(Event::Opened { connection: 7, peer: None });
        let line = r#"{"seq":1,"at":"1970-01-01T00:00:00.000000Z","upstream":"a","event":"opened","connection":7}"#;
        assert_eq!(journal.json_lines(), format!("{line}\n"));
    }
}
