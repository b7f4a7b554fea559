//! Holds what the sections of a configuration share while they are read.

use std::net::SocketAddr;

use super::text::interpolate::Lookup;
use super::text::problem::Problems;

/// What the sections share while they are read.
pub(super) struct Reading<'a> {
    pub(super) lookup: &'a dyn Lookup,
    pub(super) problems: Problems,
    pub(super) warnings: Vec<String>,
    /// Where we will listen, once known: to warn of upstreams that are ourselves.
    pub(super) listen: Option<SocketAddr>,
}

impl Reading<'_> {
    /// The value, or `None` with the problem noted at `at`.
    pub(super) fn good<T>(&mut self, at: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|what| self.problems.add(at, what)).ok()
    }
}
