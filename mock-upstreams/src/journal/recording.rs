//! A request while it runs, which becomes a record of the journal when it ends.

use std::sync::Arc;

use super::entry::{End, Event, Outcome, Record};
use super::store::Journal;
use crate::checksum::Tally;
use crate::request::Asked;

/// A request while it runs. Dropped, it becomes the journal's [`Record`], whatever ended it.
pub(crate) struct Recording {
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
