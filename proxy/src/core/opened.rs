//! Remembers which targets were opened lately and through which upstreams, so that a suspected upstream can be probed with one of them.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use super::attribution::Service;
use super::time::Timestamp;
use super::upstream::UpstreamId;

/// Targets remembered at most. Each has one place it can stand in; one that comes to the same place later takes it.
const PLACES: usize = 256;

/// The targets that were opened of late. Any number of threads take notes, and none of them waits.
#[derive(Debug)]
pub struct Opened {
    places: Box<[Place]>,
}

type Place = Mutex<Option<Target>>;

#[derive(Debug)]
struct Target {
    name: Box<str>,
    asked: Service,
    by: UpstreamId,
    at: Timestamp,
    /// When an upstream was last charged with not opening it: it tells less than one that all others opened.
    disputed: Option<Timestamp>,
}

impl Default for Opened {
    fn default() -> Self {
        Opened { places: (0..PLACES).map(|_| Place::default()).collect() }
    }
}

impl Opened {
    /// `by` opened `name`. Where somebody else is at the same place at this moment, it is as if that one had come later.
    pub fn note(&self, asked: Service, name: &str, by: UpstreamId, now: Timestamp) {
        let mut place = match self.places[place_of(asked, name)].try_lock() {
            Ok(place) => place,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        match &mut *place {
            Some(target) if target.is(asked, name) => (target.by, target.at) = (by, now),
            _ => *place = Some(Target { name: name.into(), asked, by, at: now, disputed: None }),
        }
    }

    /// What `by` opened as `name` brought nothing: that it opened says nothing about others.
    pub fn forget(&self, asked: Service, name: &str, by: UpstreamId) {
        let mut place = self.place(asked, name);
        if place.as_ref().is_some_and(|target| target.is(asked, name) && target.by == by) {
            *place = None;
        }
    }

    /// An upstream was charged with not opening `name`.
    pub fn dispute(&self, asked: Service, name: &str, now: Timestamp) {
        if let Some(target) = self.place(asked, name).as_mut().filter(|target| target.is(asked, name)) {
            target.disputed = Some(now);
        }
    }

    /// Whether another than `than` opened `name` less than `within` ago.
    pub fn by_another(&self, than: UpstreamId, asked: Service, name: &str, within: Duration, now: Timestamp) -> bool {
        let place = self.place(asked, name);
        let target = place.as_ref().filter(|target| target.is(asked, name));
        target.is_some_and(|target| target.by != than && now.since(target.at) < within)
    }

    /// The targets that others than `than` opened less than `within` ago: undisputed ones first, then the latest.
    pub fn by_others(
        &self,
        than: UpstreamId,
        asked: Service,
        within: Duration,
        now: Timestamp,
    ) -> impl Iterator<Item = Box<str>> {
        let recent = |at: Timestamp| now.since(at) < within;
        let wanted = |target: &Target| target.asked == asked && target.by != than && recent(target.at);
        let found = self.places.iter().filter_map(|place| {
            let place = held(place);
            let target = place.as_ref().filter(|target| wanted(target))?;
            Some((target.disputed.is_some_and(recent), std::cmp::Reverse(target.at), target.name.clone()))
        });
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|(disputed, at, _)| (*disputed, *at));
        found.into_iter().map(|(.., name)| name)
    }

    fn place(&self, asked: Service, name: &str) -> MutexGuard<'_, Option<Target>> {
        held(&self.places[place_of(asked, name)])
    }
}

fn held(place: &Place) -> MutexGuard<'_, Option<Target>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Target {
    fn is(&self, asked: Service, name: &str) -> bool {
        self.asked == asked && *self.name == *name
    }
}

/// FNV-1a: the same on every machine, and whoever chooses names that meet gains nothing by it.
fn place_of(asked: Service, name: &str) -> usize {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = name.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325 ^ asked as u64, fold);
    (hash % PLACES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(10);

    fn id(number: u32) -> UpstreamId {
        UpstreamId::new(number)
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::ZERO.after(Duration::from_secs(secs))
    }

    fn found(opened: &Opened, than: u32, now: u64) -> Vec<String> {
        opened.by_others(id(than), Service::Tunnel, SPAN, at(now)).map(String::from).collect()
    }

    #[test]
    fn what_others_opened_of_late_is_found_the_undisputed_and_the_latest_first() {
        let opened = Opened::default();
        for (name, by, when) in [("a:1", 1, 1), ("b:1", 2, 2), ("own:1", 0, 3), ("c:1", 1, 4), ("d:1", 2, 5)] {
            opened.note(Service::Tunnel, name, id(by), at(when));
        }
        opened.note(Service::Page, "page:1", id(1), at(5));
        opened.dispute(Service::Tunnel, "d:1", at(5));
        assert_eq!(found(&opened, 0, 6), ["c:1", "b:1", "a:1", "d:1"]);
        assert_eq!(found(&opened, 1, 6), ["own:1", "b:1", "d:1"]);
        assert_eq!(found(&opened, 0, 12), ["c:1", "d:1"], "those of ten seconds ago are forgotten");
        let by_another = |name, now| opened.by_another(id(0), Service::Tunnel, name, SPAN, at(now));
        assert!(by_another("a:1", 10) && !by_another("a:1", 11) && !by_another("own:1", 4) && !by_another("page:1", 6));
    }

    #[test]
    fn opened_again_it_is_as_new() {
        let opened = Opened::default();
        opened.note(Service::Tunnel, "a:1", id(0), at(1));
        opened.note(Service::Tunnel, "a:1", id(1), at(9));
        assert_eq!(found(&opened, 0, 18), ["a:1"]);
    }

    #[test]
    fn what_brought_nothing_is_forgotten_unless_another_has_opened_it_since() {
        let opened = Opened::default();
        opened.note(Service::Tunnel, "a:1", id(1), at(1));
        opened.note(Service::Tunnel, "b:1", id(1), at(1));
        opened.note(Service::Tunnel, "b:1", id(2), at(2));
        for name in ["a:1", "b:1", "c:1"] {
            opened.forget(Service::Tunnel, name, id(1));
        }
        assert_eq!(found(&opened, 0, 3), ["b:1"]);
    }

    /// What stands in a place is what was noted there last, whatever else could stand there.
    #[test]
    fn targets_that_share_a_place_are_not_taken_for_one_another() {
        let opened = Opened::default();
        let place = place_of(Service::Tunnel, "a:1");
        let other =
            (2..).map(|port| format!("a:{port}")).find(|name| place_of(Service::Tunnel, name) == place).unwrap();
        opened.note(Service::Tunnel, "a:1", id(1), at(1));
        opened.forget(Service::Tunnel, &other, id(1));
        opened.dispute(Service::Tunnel, &other, at(1));
        assert!(!opened.by_another(id(0), Service::Tunnel, &other, SPAN, at(2)));
        opened.note(Service::Tunnel, "b:1", id(1), at(0));
        assert_eq!(found(&opened, 0, 2), ["a:1", "b:1"], "the other's dispute is none of its own");
        opened.note(Service::Tunnel, &other, id(1), at(2));
        assert_eq!(found(&opened, 0, 3), [&*other, "b:1"]);
    }

    #[test]
    fn what_is_disputed_stays_so_when_it_is_opened_again() {
        let opened = Opened::default();
        opened.note(Service::Tunnel, "b:1", id(1), at(1));
        opened.note(Service::Tunnel, "a:1", id(1), at(2));
        opened.dispute(Service::Tunnel, "a:1", at(3));
        opened.note(Service::Tunnel, "a:1", id(1), at(4));
        assert_eq!(found(&opened, 0, 5), ["b:1", "a:1"]);
    }

    /// Places are those of FNV-1a, and tunnels and pages of one name have different ones.
    #[test]
    fn places_are_the_same_on_every_machine() {
        assert_eq!(place_of(Service::Tunnel, "foobar"), 0xe8);
        assert_ne!(place_of(Service::Page, "foobar"), 0xe8);
    }

    #[test]
    fn the_memory_is_bounded() {
        let opened = Opened::default();
        for n in 0..10_000 {
            opened.note(Service::Tunnel, &format!("t{n}:443"), id(1), at(1));
        }
        let kept = found(&opened, 0, 1).len();
        assert!(kept > PLACES / 2 && kept <= PLACES, "{kept}");
    }
}
