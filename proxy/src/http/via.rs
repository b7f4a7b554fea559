//! Writes our entry of the Via field, and recognises by it that a request has passed through us before.

use std::borrow::Cow;

use crate::http::head::{Fields, Version};

/// Our entry of Via (RFC 9110 section 7.6.3).
#[derive(Clone, Debug)]
pub(crate) struct Via {
    /// Our pseudonym.
    pseudonym: String,
    /// Our entries for messages of HTTP/1.0 and HTTP/1.1.
    entries: [String; 2],
    /// Whether our CONNECT has the field, too.
    on_connect: bool,
}

impl Via {
    /// Makes an entry with this pseudonym. `on_connect` is false if users want a CONNECT that does not tell of us.
    pub(crate) fn new(pseudonym: String, on_connect: bool) -> Self {
        let entries = [Version::Http10, Version::Http11].map(|version| format!("{} {pseudonym}", version.in_via()));
        Via { pseudonym, entries, on_connect }
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
    pub(crate) fn entry(&self, version: Version) -> &str {
        let [http10, http11] = &self.entries;
        match version {
            Version::Http10 => http10,
            Version::Http11 => http11,
        }
    }

    /// The Via of our CONNECT for a client's of this version: its entries, by which a ring of proxies is recognised, and
    /// then our own.
    pub(crate) fn for_connect(&self, fields: &Fields, version: Version) -> Option<Cow<'_, [u8]>> {
        if !self.on_connect {
            return None;
        }
        let ours = self.entry(version).as_bytes();
        let mut via = Vec::new();
        // An empty line must not become an empty member of our list (RFC 9110 section 5.6.1.1).
        for value in fields.get_all("via").filter(|value| !value.is_empty()) {
            via.extend_from_slice(value);
            via.extend_from_slice(b", ");
        }
        if via.is_empty() {
            return Some(Cow::Borrowed(ours));
        }
        via.extend_from_slice(ours);
        Some(Cow::Owned(via))
    }
}
