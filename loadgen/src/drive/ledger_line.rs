//! What the ledger needs to know of one request.

use crate::client::RequestRecord;

/// One request, as the ledger needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LedgerLine {
    /// The id that stands in the target's name.
    pub(crate) id: String,
    /// What came back for it.
    pub(crate) answer: ClientAnswer,
}

/// What came back for a request, as far as the ledger cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAnswer {
    /// It got through: CONNECT was answered with 2xx, or the target responded.
    Through,
    /// CONNECT was answered with something else.
    Refused,
    /// Nothing came back, or a status of which the client can't tell who sent it. The other witnesses may know of it or not.
    Unknown,
}

impl ClientAnswer {
    pub(super) fn of(record: &RequestRecord) -> Self {
        match record.status {
            Some(200..300) => ClientAnswer::Through,
            Some(_) if record.tunnel => ClientAnswer::Refused,
            Some(300..500) => ClientAnswer::Through,
            _ => ClientAnswer::Unknown,
        }
    }
}
