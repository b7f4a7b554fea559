//! What this process or its machine may lack for a connection, whoever is at the other end.

use std::io::{self, ErrorKind};

use rustix::io::Errno;

/// What is lacking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// Descriptors, of this process or of the system.
    Descriptors,
    /// Memory, or room in the system's buffers.
    Memory,
}

impl Lack {
    /// What `error` says is lacking; `None` where it says anything else.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE) => Some(Lack::Descriptors),
            Some(Errno::NOMEM | Errno::NOBUFS) => Some(Lack::Memory),
            _ => (error.kind() == ErrorKind::OutOfMemory).then_some(Lack::Memory),
        }
    }

    /// The words of [`reason`](Self::reason).
    pub(crate) const REASONS: [&'static str; 3] = ["descriptors", "memory", "other"];

    /// The word for what `error` says is lacking; `other` where it says anything else.
    pub(crate) fn reason(error: &io::Error) -> &'static str {
        let [descriptors, memory, other] = Lack::REASONS;
        match Lack::of(error) {
            Some(Lack::Descriptors) => descriptors,
            Some(Lack::Memory) => memory,
            None => other,
        }
    }
}
