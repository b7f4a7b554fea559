//! Keeps the record of a request while the request runs.

use std::sync::Arc;

use super::entry::{End, Event, Outcome, Record};
use super::store::Journal;
use crate::checksum::Transferred;
use crate::request::ProxyRequest;

/// The record of a request while the request runs. It is written down when this is dropped, whatever ended the request.
pub(crate) struct Recording {
    journal: Arc<Journal>,
    record: Option<Record>,
}

impl Recording {
    /// Begins the record of `request`. Its outcome is `aborted` until a better one is known.
    pub(crate) fn begin(journal: &Arc<Journal>, request: &ProxyRequest) -> Self {
        journal.request_began();
        let record = Record {
            connection: request.connection,
            request: request.request,
            id: request.target.id().map(str::to_owned),
            method: request.method.clone(),
            target: request.target.to_string(),
            user: request.user.clone(),
            served_as: request.served_as.clone(),
            status: None,
            outcome: Outcome::Aborted,
            up: Transferred::EMPTY,
            down: Transferred::EMPTY,
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
