//! Remembers which targets were opened lately and through which upstreams, so that a suspected upstream can be probed with one of them.

use std::time::Duration;

use super::attribution::{DEFAULT_MEMORY, Service};
use super::time::Timestamp;
use super::upstream::UpstreamId;

/// Targets remembered at most. Each has one place it can stand in; one that comes to the same place later takes it.
const PLACES: usize = 256;

/// The targets that were opened of late.
#[derive(Debug)]
pub struct Opened {
    places: Box<[Option<Target>]>,
}

#[derive(Debug)]
struct Target {
    name: Box<str>,
    asked: Service,
    by: UpstreamId,
    at: Timestamp,
    /// It came from the target: a page, or a byte through the tunnel. Whoever only says that it has opened may be lying.
    proven: bool,
    /// When an upstream was last charged with not opening it: it tells less than one that all others opened.
    disputed: Option<Timestamp>,
}

impl Default for Opened {
    fn default() -> Self {
        Opened { places: (0..PLACES).map(|_| None).collect() }
    }
}

impl Opened {
    /// `by` opened `name`, and that is `proven` or was only said. What was said takes no place of what was proven of late.
    pub fn note(&mut self, asked: Service, name: &str, by: UpstreamId, proven: bool, now: Timestamp) {
        let place = self.place(asked, name);
        match place {
            Some(other) if !proven && other.proven && now.since(other.at) < DEFAULT_MEMORY => {}
            Some(target) if target.is(asked, name) => (target.by, target.at, target.proven) = (by, now, proven),
            _ => *place = Some(Target { name: name.into(), asked, by, at: now, proven, disputed: None }),
        }
    }

    /// An upstream was charged with not opening `name`.
    pub fn dispute(&mut self, asked: Service, name: &str, now: Timestamp) {
        if let Some(target) = self.place(asked, name).as_mut().filter(|target| target.is(asked, name)) {
            target.disputed = Some(now);
        }
    }

    /// Whether another than `than` opened `name` less than `within` ago, and that is proven.
    pub fn by_another(&self, than: UpstreamId, asked: Service, name: &str, within: Duration, now: Timestamp) -> bool {
        let target = self.places[place_of(asked, name)].as_ref().filter(|target| target.is(asked, name));
        target.is_some_and(|target| target.proven && target.by != than && now.since(target.at) < within)
    }

    /// The targets that others than `than` opened less than `within` ago: undisputed ones first, then the proven, then the latest.
    pub fn by_others(
        &self,
        than: UpstreamId,
        asked: Service,
        within: Duration,
        now: Timestamp,
    ) -> impl Iterator<Item = &str> {
        let recent = |at: Timestamp| now.since(at) < within;
        let wanted = |target: &&Target| target.asked == asked && target.by != than && recent(target.at);
        let mut found: Vec<&Target> = self.places.iter().flatten().filter(wanted).collect();
        found.sort_by_key(|target| (target.disputed.is_some_and(recent), !target.proven, std::cmp::Reverse(target.at)));
        found.into_iter().map(|target| &*target.name)
    }

    fn place(&mut self, asked: Service, name: &str) -> &mut Option<Target> {
        &mut self.places[place_of(asked, name)]
    }
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

    fn found(opened: &Opened, than: u32, now: u64) -> Vec<&str> {
        opened.by_others(id(than), Service::Tunnel, SPAN, at(now)).collect()
    }

    #[test]
    fn what_others_opened_of_late_is_found_the_undisputed_and_the_latest_first() {
        let mut opened = Opened::default();
        for (name, by, when) in [("a:1", 1, 1), ("b:1", 2, 2), ("own:1", 0, 3), ("c:1", 1, 4), ("d:1", 2, 5)] {
            opened.note(Service::Tunnel, name, id(by), true, at(when));
        }
        opened.note(Service::Page, "page:1", id(1), true, at(5));
        opened.dispute(Service::Tunnel, "d:1", at(5));
        assert_eq!(found(&opened, 0, 6), ["c:1", "b:1", "a:1", "d:1"]);
        assert_eq!(found(&opened, 1, 6), ["own:1", "b:1", "d:1"]);
        assert_eq!(found(&opened, 0, 12), ["c:1", "d:1"], "those of ten seconds ago are forgotten");
        let by_another = |name, now| opened.by_another(id(0), Service::Tunnel, name, SPAN, at(now));
        assert!(by_another("a:1", 10) && !by_another("a:1", 11) && !by_another("own:1", 4) && !by_another("page:1", 6));
    }

    #[test]
    fn opened_again_it_is_as_new() {
        let mut opened = Opened::default();
        opened.note(Service::Tunnel, "a:1", id(0), true, at(1));
        opened.note(Service::Tunnel, "a:1", id(1), true, at(9));
        assert_eq!(found(&opened, 0, 18), ["a:1"]);
    }

    #[test]
    fn what_was_said_to_be_open_proves_nothing_until_it_delivers() {
        let mut opened = Opened::default();
        for name in ["a:1", "b:1"] {
            opened.note(Service::Tunnel, name, id(1), false, at(1));
        }
        opened.note(Service::Tunnel, "c:1", id(2), false, at(2));
        opened.note(Service::Tunnel, "a:1", id(1), true, at(2));
        let by_another = |opened: &Opened, name, now| opened.by_another(id(0), Service::Tunnel, name, SPAN, at(now));
        assert_eq!(["a:1", "b:1", "c:1"].map(|name| by_another(&opened, name, 3)), [true, false, false]);
        assert_eq!(found(&opened, 0, 3)[0], "a:1", "the proven first");
        opened.note(Service::Tunnel, "a:1", id(2), false, at(4));
        assert!(by_another(&opened, "a:1", 5), "what is only said displaces nothing that was proven");
        opened.note(Service::Tunnel, "a:1", id(2), false, at(13));
        assert!(!by_another(&opened, "a:1", 14), "but what was proven long ago");
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut opened = Opened::default();
        for n in 0..10_000 {
            opened.note(Service::Tunnel, &format!("t{n}:443"), id(1), true, at(1));
        }
        let kept = found(&opened, 0, 1).len();
        assert!(kept > PLACES / 2 && kept <= PLACES, "{kept}");
    }
}
