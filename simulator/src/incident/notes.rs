//! What a recording could not read, had to guess or leaves out is counted by its kind, with the place of the first.

use std::collections::BTreeMap;
use std::fmt;

use super::log::Place;

/// The most kinds. They are sentences of this program, with words of the proxy in them, so that there are few.
const MOST_KINDS: usize = 500;

/// What there is to say of a recording.
#[derive(Debug, Default)]
pub(in crate::incident) struct Notes {
    counted: BTreeMap<String, (u64, Option<Place>)>,
}

impl Notes {
    /// Once more this, here.
    pub(in crate::incident) fn count(&mut self, what: impl Into<String>, at: Place) {
        self.add(what.into(), 1, Some(at));
    }

    /// This, of the recording as a whole.
    pub(in crate::incident) fn say(&mut self, what: impl Into<String>) {
        self.add(what.into(), 1, None);
    }

    /// So many of these, here.
    pub(in crate::incident) fn add(&mut self, what: String, count: u64, at: Option<Place>) {
        if self.counted.len() < MOST_KINDS || self.counted.contains_key(&what) {
            let counted = self.counted.entry(what).or_insert((0, at));
            counted.0 = counted.0.saturating_add(count);
        }
    }

    /// A sentence for each kind.
    pub(in crate::incident) fn sentences(&self) -> Vec<String> {
        self.counted.iter().map(|(what, (count, at))| Sentence { what, count: *count, at: *at }.to_string()).collect()
    }
}

struct Sentence<'a> {
    what: &'a str,
    count: u64,
    at: Option<Place>,
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            None => f.write_str(self.what),
            Some(Place { log, line }) => write!(f, "{}: {}, first at log {log}, line {line}", self.what, self.count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once_with_its_number_and_its_first_place() {
        let mut notes = Notes::default();
        notes.count("lines that were cut", Place { log: 2, line: 7 });
        notes.count("lines that were cut", Place { log: 2, line: 9 });
        notes.say("all was guessed");
        assert_eq!(notes.sentences(), ["all was guessed", "lines that were cut: 2, first at log 2, line 7"]);
        (0..1000).for_each(|number| notes.say(number.to_string()));
        assert_eq!(notes.sentences().len(), MOST_KINDS);
    }
}
