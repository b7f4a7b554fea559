//! Checks the conditions of a plan entry: when it strikes, and which requests.

use std::num::NonZeroU64;
use std::time::Duration;

use mock_upstreams::ProxyRequest;
use serde_json::{Map, Value as Json};

use crate::draw::{Draw, Probability};

/// When an entry strikes. All conditions that are given must hold; without any it strikes always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// Strikes only the connection with this number. Connections are counted from 1.
    pub(crate) nth: Option<NonZeroU64>,
    /// Strikes one connection in so many.
    pub(crate) every: Option<NonZeroU64>,
    /// Strikes with this probability, drawn for every connection or request.
    pub(crate) probability: Option<Probability>,
    /// Strikes from this time on, counted from the upstream's start.
    pub from: Duration,
    /// Strikes until just before this time, counted from the upstream's start.
    pub until: Option<Duration>,
}

impl When {
    /// Whether `now` is between `from` and `until`.
    pub(crate) fn in_force(&self, now: Duration) -> bool {
        now >= self.from && self.until.is_none_or(|until| now < until)
    }

    /// The next time at which [`When::in_force`] changes.
    pub(crate) fn next_edge(&self, now: Duration) -> Option<Duration> {
        [Some(self.from), self.until].into_iter().flatten().filter(|edge| *edge > now).min()
    }

    /// Whether it tells connections apart. A fault of the listener can't do that.
    pub(crate) fn tells_connections_apart(&self) -> bool {
        self.nth.is_some() || self.every.is_some() || self.probability.is_some()
    }

    pub(super) fn strikes(&self, now: Duration, connection: u64, draw: &mut Draw) -> bool {
        // The draw comes first: the other conditions decide whether it counts, and never shift it.
        let drawn = self.probability.is_none_or(|probability| draw.happens(probability));
        drawn
            && self.in_force(now)
            && self.nth.is_none_or(|nth| connection == nth.get())
            && self.every.is_none_or(|every| connection.is_multiple_of(every.get()))
    }

    pub(super) fn to_json(&self) -> Json {
        let duration = |time: Duration| Json::from(humantime::format_duration(time).to_string());
        let mut json = Map::new();
        let mut put = |name: &str, value: Option<Json>| value.map(|value| json.insert(name.to_owned(), value));
        put("nth", self.nth.map(|nth| nth.get().into()));
        put("every", self.every.map(|every| every.get().into()));
        put("probability", self.probability.map(|probability| probability.get().into()));
        put("from", (!self.from.is_zero()).then(|| duration(self.from)));
        put("until", self.until.map(duration));
        json.into()
    }
}

/// Which requests an entry strikes. All conditions that are given must hold; without any it strikes all requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestFilter {
    /// Requests for these targets, as `host:port`.
    pub(crate) target: Option<TargetPattern>,
    /// Requests with the credentials of this user.
    pub(crate) user: Option<String>,
    /// Requests with this method.
    pub(crate) method: Option<String>,
}

impl RequestFilter {
    /// Whether it has no condition.
    pub(crate) fn is_empty(&self) -> bool {
        *self == RequestFilter::default()
    }

    /// Whether it includes `request`.
    pub(crate) fn matches(&self, request: &ProxyRequest) -> bool {
        self.target.as_ref().is_none_or(|pattern| pattern.matches(&request.target.to_string()))
            && self.user.as_ref().is_none_or(|user| request.user.as_ref() == Some(user))
            && self.method.as_ref().is_none_or(|method| *method == request.method)
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
pub(crate) struct TargetPattern(String);

impl TargetPattern {
    /// Reads the pattern as it is written in a plan.
    pub(crate) fn new(text: &str) -> Self {
        TargetPattern(text.to_owned())
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
        let matches = |pattern: &str, text: &str| TargetPattern::new(pattern).matches(text);
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
