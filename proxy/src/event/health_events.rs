//! Remembers the last changes of upstreams' health, so that somebody who comes later sees when each happened and why.
//!
//! They come from the events that the log is written from, so that the two can't disagree.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::{Event, Observer};
use crate::core::time::Timestamp;
use crate::core::upstream::UpstreamId;

/// Changes that are remembered. Their texts are the configuration's names, and causes, which are short.
const MAX_EVENTS: usize = 100;

/// The last changes of health. They are few, so whoever tells of one may wait for a reader that copies them.
#[derive(Debug, Default)]
pub(crate) struct HealthEvents(Mutex<VecDeque<HealthEvent>>);

/// A change of one upstream's health, or of what an operator has set of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthEvent {
    pub(crate) at: Timestamp,
    /// The event's name, as in the log.
    pub(crate) event: &'static str,
    pub(crate) upstream: UpstreamId,
    pub(crate) name: String,
    /// Why, where there is more to say; of what was set by hand, what changed.
    pub(crate) cause: Option<String>,
}

impl HealthEvents {
    /// What is remembered, the newest first.
    pub(crate) fn read(&self) -> Vec<HealthEvent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }
}

impl Observer for HealthEvents {
    fn on(&self, at: Timestamp, event: &Event<'_>) {
        let (upstream, name, cause) = match *event {
            Event::Suspected { upstream, name, cause, .. }
            | Event::Ejected { upstream, name, cause, .. }
            | Event::BackedOff { upstream, name, cause, .. } => (upstream, name, cause),
            Event::Recovered { upstream, name, .. } => (upstream, name, None),
            Event::Steered { upstream, name, change, .. } => (upstream, name, Some(change)),
            _ => return,
        };
        let (name, cause) = (name.to_owned(), cause.map(str::to_owned));
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() == MAX_EVENTS {
            events.pop_front();
        }
        events.push_back(HealthEvent { at, event: event.word(), upstream, name, cause });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_hundred_are_remembered_the_newest_first() {
        let events = HealthEvents::default();
        let (upstream, name, url) = (UpstreamId::new(0), "a", "http://a");
        let at = |second| Timestamp::ZERO.after(Duration::from_secs(second));
        for second in 0..150 {
            let until = at(second + 5);
            events.on(at(second), &Event::BackedOff { upstream, name, url, cause: Some("refused"), until });
        }
        events.on(at(150), &Event::Recovered { upstream, name, url, after: Duration::from_secs(9) });
        events.on(at(151), &Event::Drained { reset: 0 });
        let read = events.read();
        assert_eq!((read.len(), read[0].at, read[99].at), (100, at(150), at(51)));
        assert_eq!((read[0].event, read[0].cause.as_deref()), ("recovered", None));
        assert_eq!((read[1].event, read[1].cause.as_deref()), ("backed_off", Some("refused")));
    }
}
