//! What hosts are called.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// What a scenario calls a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

impl HostName {
    /// The host of that name.
    pub fn new(name: &str) -> Self {
        HostName(name.into())
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for HostName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
