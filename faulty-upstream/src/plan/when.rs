//! The two filters of an entry: when it strikes, and whom.

use std::num::NonZeroU64;
use std::time::Duration;

use mock_upstreams::Asked;
use serde_json::{Map, Value as Json};

use crate::draw::{Chance, Draw};

/// When an entry strikes: where several conditions are given, all must hold; where none is, always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// Only this connection, counted from 1.
    pub nth: Option<NonZeroU64>,
    /// Every so many connections.
    pub every: Option<NonZeroU64>,
    /// By chance, drawn for every connection or request.
    pub probability: Option<Chance>,
    /// Not before, since the upstream's start.
    pub from: Duration,
    /// Not at or behind, since the upstream's start.
    pub until: Option<Duration>,
}

impl When {
    /// Whether the time is right.
    pub fn in_force(&self, now: Duration) -> bool {
        now >= self.from && self.until.is_none_or(|until| now < until)
    }

    /// When [`When::in_force`] changes next.
    pub fn next_edge(&self, now: Duration) -> Option<Duration> {
        [Some(self.from), self.until].into_iter().flatten().filter(|edge| *edge > now).min()
    }

    /// Whether connections are told apart, which a fault of the listener can't do.
    pub fn tells_connections_apart(&self) -> bool {
        self.nth.is_some() || self.every.is_some() || self.probability.is_some()
    }

    pub(super) fn strikes(&self, now: Duration, connection: u64, draw: &mut Draw) -> bool {
        // Drawn whatever the other conditions say, so that they only gate the draw and never shift it.
        let lucky = self.probability.is_none_or(|chance| draw.happens(chance));
        lucky
            && self.in_force(now)
            && self.nth.is_none_or(|nth| connection == nth.get())
            && self.every.is_none_or(|every| connection.is_multiple_of(every.get()))
    }

    pub(super) fn to_json(&self) -> Json {
        let span = |span: Duration| Json::from(humantime::format_duration(span).to_string());
        let mut json = Map::new();
        let mut put = |name: &str, value: Option<Json>| value.map(|value| json.insert(name.to_owned(), value));
        put("nth", self.nth.map(|nth| nth.get().into()));
        put("every", self.every.map(|every| every.get().into()));
        put("probability", self.probability.map(|chance| chance.get().into()));
        put("from", (!self.from.is_zero()).then(|| span(self.from)));
        put("until", self.until.map(span));
        json.into()
    }
}

/// Whom an entry strikes: where several conditions are given, all must hold; where none is, everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whom {
    /// Targets, as `host:port`.
    pub target: Option<Pattern>,
    /// The user of the credentials.
    pub user: Option<String>,
    /// The method.
    pub method: Option<String>,
}

impl Whom {
    /// Whether nothing is asked for.
    pub fn is_everybody(&self) -> bool {
        *self == Whom::default()
    }

    /// Whether it is the one who `asked`.
    pub fn includes(&self, asked: &Asked) -> bool {
        self.target.as_ref().is_none_or(|pattern| pattern.matches(&asked.target.to_string()))
            && self.user.as_ref().is_none_or(|user| asked.user.as_ref() == Some(user))
            && self.method.as_ref().is_none_or(|method| *method == asked.method)
    }

    pub(super) fn to_json(&self) -> Json {
        let mut json = Map::new();
        let mut put = |name: &str, value: Option<&str>| value.map(|value| json.insert(name.to_owned(), value.into()));
        put("target", self.target.as_ref().map(|pattern| pattern.0.as_str()));
        put("user", self.user.as_deref());
        put("method", self.method.as_deref());
        json.into()
    }
}

/// A text in which every `*` stands for any number of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// As written.
    pub fn new(text: &str) -> Self {
        Pattern(text.to_owned())
    }

    fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        // split yields at least one part.
        let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
        let parts: Vec<&str> = parts.collect();
        let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
        for part in middle {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        let matches = |pattern: &str, text: &str| Pattern::new(pattern).matches(text);
        assert!(matches("*.echo.mock:80", "r1.echo.mock:80") && matches("a*", "a") && matches("*", ""));
        assert!(matches("a*b*c", "a-b-b-c") && matches("x:1", "x:1"));
        assert!(!matches("a*b*c", "a-c") && !matches("a", "ab") && !matches("ab*b", "ab") && !matches("*a", "ab"));
    }

    #[test]
    fn edges_of_the_window_belong_to_its_begin_only() {
        let seconds = Duration::from_secs;
        let when = When { from: seconds(2), until: Some(seconds(5)), ..When::default() };
        let in_force: Vec<bool> = (1..=5).map(|second| when.in_force(seconds(second))).collect();
        assert_eq!(in_force, [false, true, true, true, false]);
        let edges = [0, 2, 5].map(|second| when.next_edge(seconds(second)));
        assert_eq!(edges, [Some(seconds(2)), Some(seconds(5)), None]);
    }

    #[test]
    fn every_third_and_the_second_connection() {
        let strikes = |when: When| -> Vec<u64> {
            let draw = Draw::new(1, "a", "x", 1, 1);
            (1..=7).filter(|connection| when.strikes(Duration::ZERO, *connection, &mut draw.clone())).collect()
        };
        assert_eq!(strikes(When { every: NonZeroU64::new(3), ..When::default() }), [3, 6]);
        assert_eq!(strikes(When { nth: NonZeroU64::new(2), ..When::default() }), [2]);
    }
}
