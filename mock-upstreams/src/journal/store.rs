//! The journal itself: a bounded store of entries, and their sums.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;

use super::counts::Counts;
use super::entry::{Entry, Event, Record};

/// Tells the wall time for stamps; in a simulation, the simulated one.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Hears of every entry as it is written, for JSON lines in a file. Called under the journal's lock: be brief.
pub type Sink = Box<dyn Fn(&Entry) + Send + Sync>;

/// Entries kept where nothing else is said.
pub const DEFAULT_CAPACITY: usize = 65_536;

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

    pub(super) fn request_began(&self) {
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
