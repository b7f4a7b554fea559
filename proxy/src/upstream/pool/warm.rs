//! Holds the connections to one upstream that were opened before a CONNECT asks for one.

use std::time::Duration;

use tokio::time::Instant;

use super::demand::Demand;
use super::idle::{Idle, IdlePlace, IdlePlaces};
use crate::config::WarmConnections;
use crate::core::time::Timestamp;
use crate::env::Lock;
use crate::upstream::leg::Leg;

/// The pause behind a connection that failed to open, or ended sooner than in this time. It doubles with every further one, up
/// to the longest.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often a place is looked for where there was none: nobody tells when one is free.
const PLACE: Duration = Duration::from_secs(1);

/// The warm connections of one upstream.
pub(crate) struct Warm<S> {
    limits: WarmConnections,
    state: Lock<State<S>>,
}

struct State<S> {
    open: Idle<S>,
    /// How many are being opened.
    opening: usize,
    demand: Demand,
    /// Once one has failed, and until a later one has lasted or was used.
    failing: Option<Failing>,
}

/// Connections fail to open, or end too soon.
#[derive(Clone, Copy)]
struct Failing {
    /// When the last one did.
    since: Instant,
    /// From then until the next may be tried.
    pause: Duration,
}

/// Leave to open one connection, whose place it holds. What came of it is told by [`Warm::opened`].
pub(crate) struct Opening(IdlePlace);

/// What there is to do for warm connections.
pub(crate) struct Step {
    /// Connections to open now.
    pub(crate) open: Vec<Opening>,
    /// When to come back; `None`: once somebody has asked.
    pub(crate) wake: Option<Instant>,
}

impl<S> Warm<S> {
    /// None yet; what is wanted follows from what `former` has seen.
    pub(super) fn new(limits: WarmConnections, former: Option<&Self>) -> Self {
        let demand = former.map(|former| former.state.lock().demand.clone()).unwrap_or_default();
        Warm { limits, state: Lock::new(State { open: Idle::default(), opening: 0, demand, failing: None }) }
    }

    /// A CONNECT is to go to this upstream `now`: counts it, and returns a connection that `is_dead` does not find ended, if there
    /// is one.
    pub(super) fn take(&self, now: Timestamp, is_dead: impl FnMut(&mut Leg<S>) -> bool) -> Option<Leg<S>> {
        let mut state = self.state.lock();
        state.demand.asked(now);
        let (leg, opened) = state.open.take((self.limits.max_age, Instant::now()), is_dead)?;
        state.failing = state.failing.filter(|failing| opened < failing.since);
        Some(leg)
    }

    /// A connection to this upstream, warm or not, took so long to open.
    pub(crate) fn connected(&self, took: Duration) {
        self.state.lock().demand.connected(took);
    }

    /// Closes what is old or ended. Tells whether anything had ended.
    pub(crate) fn sweep(&self, is_dead: impl FnMut(&mut Leg<S>) -> bool) -> bool {
        let mut state = self.state.lock();
        let ended = state.open.sweep(self.limits.max_age, is_dead);
        if ended.is_some_and(|age| age < PAUSE) {
            state.failed();
        }
        ended.is_some()
    }

    /// Says what to open now, and when to come back.
    pub(crate) fn step(&self, now: Timestamp, places: &IdlePlaces) -> Step {
        let at = Instant::now();
        let mut state = self.state.lock();
        // The one that was tried since, if there is one.
        let tried = |failing: Failing| state.open.newest().filter(|opened| *opened >= failing.since);
        let tried = state.failing.and_then(tried);
        if tried.is_some_and(|opened| opened + PAUSE <= at) {
            state.failing = None;
        }
        let wanted = state.demand.wanted(now).min(self.limits.max.get());
        let mut missing = wanted.saturating_sub(state.open.len() + state.opening);
        let mut wakes = [state.open.oldest().map(|opened| opened + self.limits.max_age), None, None];
        if let Some(Failing { since, pause }) = state.failing
            && missing > 0
        {
            // One tries for all.
            let wake = tried.map_or(since + pause, |opened| opened + PAUSE);
            missing = usize::from(tried.is_none() && state.opening == 0 && wake <= at);
            wakes[1] = Some(wake).filter(|wake| *wake > at);
        }
        let open: Vec<_> = (0..missing).map_while(|_| places.take()).map(Opening).collect();
        wakes[2] = (open.len() < missing).then(|| at + PLACE);
        state.opening += open.len();
        Step { open, wake: wakes.into_iter().flatten().min() }
    }

    /// What came of a connection that was to be opened. If it failed, nobody is blamed: no request has asked for it, and the next
    /// that does finds out for itself.
    pub(crate) fn opened(&self, opening: Opening, leg: Option<Leg<S>>) {
        let mut state = self.state.lock();
        state.opening -= 1;
        match leg {
            Some(leg) => state.open.add(leg, opening.0),
            None => state.failed(),
        }
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().open.len()
    }

    /// Closes all.
    pub(crate) fn clear(&self) {
        self.state.lock().open.clear();
    }

    /// Closes all, and opens none for a while: others lack what they hold.
    pub(crate) fn give_way(&self) {
        let mut state = self.state.lock();
        state.open.clear();
        state.failed();
    }

    /// Closes all, and whatever is being opened.
    pub(crate) fn retire(&self) {
        self.state.lock().open.retire();
    }
}

impl<S> State<S> {
    fn failed(&mut self) {
        let now = Instant::now();
        let pause = match self.failing {
            // They were opened together.
            Some(failing) if now < failing.since + failing.pause => return,
            Some(failing) => (failing.pause * 2).min(LONGEST_PAUSE),
            None => PAUSE,
        };
        self.failing = Some(Failing { since: now, pause });
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Connections to an upstream that is asked so often that three should be open, and takes a second to connect to.
    struct Scene {
        warm: Warm<u8>,
        places: IdlePlaces,
        began: Instant,
    }

    impl Scene {
        fn new(places: usize) -> Self {
            let limits = WarmConnections { max: NonZeroUsize::new(3).unwrap(), max_age: SECOND * 20 };
            let scene = Scene { warm: Warm::new(limits, None), places: IdlePlaces::new(places), began: Instant::now() };
            scene.warm.connected(SECOND);
            for _ in 0..10 {
                scene.warm.take(scene.now(), |_| false);
            }
            scene
        }

        fn now(&self) -> Timestamp {
            Timestamp::ZERO.after(self.began.elapsed())
        }

        /// What is to be opened now, and in how many milliseconds there is more to do.
        fn step(&self) -> (Vec<Opening>, Option<u128>) {
            let Step { open, wake } = self.warm.step(self.now(), &self.places);
            (open, wake.map(|wake| (wake - Instant::now()).as_millis()))
        }

        /// As [`Scene::step`], of how many.
        fn due(&self) -> (usize, Option<u128>) {
            let (open, wake) = self.step();
            (open.len(), wake)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_are_opened_as_are_missing() {
        let scene = Scene::new(9);
        let (mut open, wake) = scene.step();
        assert_eq!((open.len(), wake), (3, None));
        assert_eq!(scene.due(), (0, None), "they are being opened");
        scene.warm.opened(open.pop().unwrap(), Some(Leg::Plain(1)));
        assert_eq!(scene.due(), (0, Some(20_000)), "the first that opened grows old");
        assert!(scene.warm.take(scene.now(), |_| false).is_some());
        assert_eq!(scene.due(), (1, None));
    }

    #[tokio::test(start_paused = true)]
    async fn where_there_is_no_place_one_is_looked_for_again() {
        let scene = Scene::new(1);
        let (open, wake) = scene.step();
        assert_eq!((open.len(), wake), (1, Some(1000)));
        assert_eq!(scene.due(), (0, Some(1000)));
        // A place is found where it is given back.
        scene.warm.opened(open.into_iter().next().unwrap(), None);
        tokio::time::advance(SECOND).await;
        assert_eq!(scene.due().0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn behind_a_failure_one_tries_for_all_and_the_others_follow_once_it_has_lasted() {
        let scene = Scene::new(9);
        for opening in scene.step().0 {
            scene.warm.opened(opening, None);
        }
        assert_eq!(scene.due(), (0, Some(1000)), "three that failed together are one failure");
        tokio::time::advance(SECOND).await;
        let (mut open, wake) = scene.step();
        assert_eq!((open.len(), wake), (1, None));
        assert_eq!(scene.due(), (0, None), "it is being opened");
        scene.warm.opened(open.pop().unwrap(), None);
        assert_eq!(scene.due(), (0, Some(2000)), "the pause doubles");
        tokio::time::advance(SECOND * 2).await;
        let (mut open, _) = scene.step();
        scene.warm.opened(open.pop().unwrap(), Some(Leg::Plain(1)));
        assert_eq!(scene.due(), (0, Some(1000)), "it may end at once");
        tokio::time::advance(SECOND).await;
        assert_eq!(scene.due().0, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_ends_sooner_than_in_a_pause_has_failed_and_one_that_lasted_has_not() {
        for (lasted, pause) in [(SECOND - Duration::from_millis(1), Some(1000)), (SECOND, None)] {
            let scene = Scene::new(9);
            let mut open = scene.step().0;
            scene.warm.opened(open.pop().unwrap(), Some(Leg::Plain(1)));
            tokio::time::advance(lasted).await;
            assert!(scene.warm.sweep(|_| true));
            drop(open);
            assert_eq!(scene.warm.len(), 0);
            assert_eq!(scene.due().1, pause, "{lasted:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_gave_way_is_not_opened_again_at_once() {
        let scene = Scene::new(3);
        for opening in scene.step().0 {
            scene.warm.opened(opening, Some(Leg::Plain(1)));
        }
        scene.warm.give_way();
        assert_eq!((scene.warm.len(), scene.due()), (0, (0, Some(1000))));
        tokio::time::advance(SECOND).await;
        assert_eq!(scene.due().0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_grows_to_half_a_minute() {
        let scene = Scene::new(9);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let now = scene.now();
            // Somebody goes on asking.
            scene.warm.take(now, |_| false);
            for opening in scene.step().0 {
                scene.warm.opened(opening, None);
            }
            let (_, Some(wake)) = scene.due() else { panic!("nothing is to come") };
            pauses.push(wake / 1000);
            tokio::time::advance(Duration::from_millis(wake as u64)).await;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
    }
    #[tokio::test(start_paused = true)]
    async fn one_that_was_used_shows_that_the_others_will_open_if_it_opened_behind_the_last_failure() {
        let then = SECOND * 2;
        for (failed_last, apart, due) in
            [(true, then, (0, Some(2000))), (true, Duration::ZERO, (3, None)), (false, then, (3, None))]
        {
            let scene = Scene::new(9);
            let mut open = scene.step().0;
            scene.warm.opened(open.pop().unwrap(), None);
            for fails in [!failed_last, failed_last] {
                tokio::time::advance(apart).await;
                scene.warm.opened(open.pop().unwrap(), (!fails).then_some(Leg::Plain(1)));
            }
            assert!(scene.warm.take(scene.now(), |_| false).is_some());
            assert_eq!(scene.due(), due, "{failed_last} {apart:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_tries_for_others_that_nobody_wants() {
        let scene = Scene::new(9);
        for opening in scene.step().0 {
            scene.warm.opened(opening, None);
        }
        tokio::time::advance(SECOND * 60).await;
        assert_eq!(scene.due(), (0, None));
    }
}
