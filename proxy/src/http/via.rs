//! Writes our entry of the Via field, and recognises by it that a request has passed through us before.

use crate::http::head::Fields;

/// Our entry of Via (RFC 9110 section 7.6.3).
#[derive(Clone, Debug)]
pub(crate) struct Via {
    /// Our pseudonym.
    pseudonym: String,
    /// Whether our CONNECT has the field, too.
    on_connect: bool,
}

impl Via {
    /// Makes an entry with this pseudonym. `on_connect` is false if users want a CONNECT that does not tell of us.
    pub(crate) fn new(pseudonym: String, on_connect: bool) -> Self {
        Via { pseudonym, on_connect }
    }

    /// Whether a request with these fields has passed through us before (RFC 9110 section 7.6.3).
    pub(crate) fn has_passed(&self, fields: &Fields) -> bool {
        let entries = fields.get_all("via").flat_map(|value| value.split(|&byte| byte == b','));
        entries.into_iter().any(|entry| {
            let mut words = entry.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(self.pseudonym.as_bytes()))
        })
    }

    /// Our entry for a message that we have received in this version.
    pub(crate) fn entry(&self, version: &str) -> String {
        format!("{version} {}", self.pseudonym)
    }

    /// The Via of our CONNECT: the client's entries, by which a ring of proxies is recognised, and then our own.
    pub(crate) fn for_connect(&self, fields: &Fields) -> Option<Vec<u8>> {
        if !self.on_connect {
            return None;
        }
        let mut via = Vec::new();
        for value in fields.get_all("via") {
            via.extend_from_slice(value);
            via.extend_from_slice(b", ");
        }
        via.extend_from_slice(self.entry("1.1").as_bytes());
        Some(via)
    }
}
