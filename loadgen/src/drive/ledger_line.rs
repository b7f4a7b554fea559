//! Holds what the ledger needs to know of one request.

use crate::client::{Failure, Phase, RequestRecord};

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
    /// It got through: CONNECT was answered with 2xx, the target responded, or the protocol was changed.
    Through,
    /// CONNECT was answered with something else.
    Refused,
    /// A status of which the client can't tell who sent it, or nothing at all: another witness has to know of it.
    Unclear,
    /// loadgen never sent it, or gave it up when the run was stopped. The other witnesses may know of it or not.
    Withdrawn,
}

impl ClientAnswer {
    pub(super) fn of(record: &RequestRecord) -> Self {
        match record.status {
            Some(101 | 200..300) => ClientAnswer::Through,
            Some(_) if record.tunnel => ClientAnswer::Refused,
            Some(300..500) => ClientAnswer::Through,
            Some(_) => ClientAnswer::Unclear,
            None => match record.outcome {
                Err(Failure { phase: Phase::Connect, .. }) => ClientAnswer::Withdrawn,
                Err(Failure { kind, .. }) if !kind.is_proxys() => ClientAnswer::Withdrawn,
                _ => ClientAnswer::Unclear,
            },
        }
    }
}
