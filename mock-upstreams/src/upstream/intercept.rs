//! What an upstream answers: the hook through which a fault engine takes a request out of the mock's hands.

use std::convert::Infallible;
use std::time::Duration;

use crate::request::Asked;

/// Decides about every request, before credentials are checked.
pub trait Script {
    /// What it keeps of a request that it takes.
    type Taken;

    /// What shall become of `asked`.
    fn decide(&self, asked: &Asked) -> Decision<Self::Taken>;
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<T> {
    /// The mock answers as a good upstream does.
    Serve {
        /// But only that much later.
        delay: Duration,
        /// What the journal names as the faults that were done to the request.
        faults: Vec<String>,
    },
    /// Nothing is answered: the connection is handed to the caller at this point, with `T`.
    Take(T),
}

/// A good upstream: serves everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Script for Plain {
    type Taken = Infallible;

    fn decide(&self, _: &Asked) -> Decision<Infallible> {
        Decision::Serve { delay: Duration::ZERO, faults: Vec::new() }
    }
}
