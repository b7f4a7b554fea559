//! Names are replaced by keyed hashes, so that a recording tells who is the same and not who it is.

use std::fmt;

use ring::hmac::{self, HMAC_SHA256};
use ring::rand::SystemRandom;

/// The least bytes of a key: fewer could be guessed.
pub(in crate::incident) const LEAST_KEY_BYTES: usize = 16;

/// Bytes of a hash that a name shows. Two names of a log with 10,000 of them are the same once in 20,000 recordings.
const SHOWN: usize = 5;

/// What a name belongs to. The same text has another hash as each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::incident) enum NameOf {
    /// An upstream.
    Upstream,
    /// A group of upstreams.
    Tag,
    /// A user of the proxy.
    User,
    /// A target.
    Target,
}

/// The key of one recording, or of several that shall give the same names. It stands in no file.
pub struct Key(hmac::Key);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

impl Key {
    /// A key that nobody knows.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn random() -> Result<Self, String> {
        let key = hmac::Key::generate(HMAC_SHA256, &SystemRandom::new());
        key.map(Key).map_err(|_| "the system gives no random numbers".to_owned())
    }

    /// The key that a file holds.
    ///
    /// # Errors
    /// It is shorter than 16 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() < LEAST_KEY_BYTES {
            return Err(format!("a key has at least {LEAST_KEY_BYTES} bytes (got {})", bytes.len()));
        }
        Ok(Key(hmac::Key::new(HMAC_SHA256, bytes)))
    }

    /// What `text` is called: a letter and ten hexadecimal digits, so that it can be a host, a user or a label.
    pub(in crate::incident) fn name(&self, of: NameOf, text: &str) -> String {
        let letter = match of {
            NameOf::Upstream => 'u',
            NameOf::Tag => 'g',
            NameOf::User => 'p',
            NameOf::Target => 't',
        };
        let tag = hmac::sign(&self.0, format!("{letter}:{text}").as_bytes());
        let digits = tag.as_ref().iter().take(SHOWN).map(|byte| format!("{byte:02x}"));
        std::iter::once(letter.to_string()).chain(digits).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_the_same_name_under_the_same_key_only() {
        let key = || Key::new(b"0123456789abcdef").unwrap();
        let name = key().name(NameOf::User, "alice");
        assert_eq!(name, key().name(NameOf::User, "alice"));
        assert!(name.len() == 11 && name.starts_with('p') && !name.contains("alice"), "{name}");
        assert_ne!(name[1..], key().name(NameOf::Upstream, "alice")[1..]);
        assert_ne!(name, key().name(NameOf::User, "bob"));
        assert_ne!(name, Key::random().unwrap().name(NameOf::User, "alice"));
        assert!(Key::new(b"short").unwrap_err().contains("16 bytes"));
        assert_eq!(format!("{:?}", key()), "Key(***)");
    }
}
