//! Whether one process at a time has written the log. A process numbers its requests as they come, so that each that has ended stands
//! between its neighbours in number and in time; of two processes that write side by side, those of the one don't fit the other's.

use std::collections::BTreeMap;
use std::time::Duration;

/// How far a request may be from its neighbours: threads number and write at once.
const SLACK: Duration = Duration::from_secs(1);
/// Requests that are remembered to find the neighbours of others. Where there would be more, every second one goes.
const MOST: usize = 4096;
/// So many that don't fit may come of a clock that was set, and this part of all.
const CHANCE: u64 = 10;
const PART: f64 = 0.02;
/// Former processes that are remembered at once.
const MOST_FORMER: usize = 16;

/// A process from which another has taken over, or may have.
#[derive(Debug, Default)]
struct Former {
    /// Its number, if it has said that.
    pid: Option<u64>,
    /// The greatest number of a request of it.
    most: u64,
    /// How many connections were open when it stopped accepting, if it has said that. Each may bring one more request.
    open: Option<u64>,
    drained: bool,
}

impl Former {
    /// Whether it may have given that number behind the hand-over.
    fn may_have(&self, number: u64) -> bool {
        number > self.most && self.open.is_none_or(|open| number <= self.most.saturating_add(open))
    }
}

/// Follows the numbers of requests.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// When the present process started, if there was one before.
    started: Option<Duration>,
    /// Its number, if it has said that.
    pid: Option<u64>,
    /// When requests of the present process began, by their numbers; of these, the multiples of `stride`.
    begun: BTreeMap<u64, Duration>,
    stride: u64,
    /// Of the present process: requests, the least and the greatest number of them.
    numbers: Option<(u64, u64, u64)>,
    requests: u64,
    /// Requests that fit no single process.
    strange: u64,
    /// Requests that had begun before their process started, as they do where the one before ends its last ones.
    of_the_former: u64,
    hand_overs: u64,
    /// The greatest number of the present process.
    most: u64,
    /// The process before the present one, until it is known who took over from it.
    before: Option<Former>,
    /// Those that have handed over and are not done.
    former: Vec<Former>,
}

impl Processes {
    /// Another process has started.
    pub(super) fn started(&mut self, at: Duration) {
        self.started = Some(at);
        self.begun.clear();
        self.stride = 1;
        self.count_twice();
        self.before = Some(Former { pid: self.pid.take(), most: std::mem::take(&mut self.most), ..Former::default() });
    }

    /// The process that has just started has said its number, if it has one in this log.
    pub(super) fn runs_as(&mut self, pid: Option<u64>) {
        self.pid = pid;
    }

    /// Whether the process of that number is the present one, where both are known and it is known who took over from whom.
    fn is_present(&self, pid: Option<u64>) -> Option<bool> {
        let is_present = self.pid? == pid?;
        (is_present || self.before.is_none()).then_some(is_present)
    }

    /// The place of the process of that number among those that have handed over. One may have started before the log.
    fn former(&self, pid: Option<u64>) -> Option<usize> {
        let of = |pid| self.former.iter().position(|one| one.pid == pid);
        of(pid).or_else(|| of(None))
    }

    /// A process has said that it took over from the one before.
    pub(super) fn handed_over(&mut self) {
        self.hand_overs += 1;
        self.former.extend(self.before.take().filter(|before| !before.drained));
        if self.former.len() > MOST_FORMER {
            self.former.remove(0);
        }
    }

    /// A process has stopped accepting, with so many connections open. Tells whether it is one that has handed over: that may be told to stop
    /// once more.
    pub(super) fn drains(&mut self, open: u64, pid: Option<u64>) -> bool {
        if let Some(is_present) = self.is_present(pid) {
            if let Some(place) = self.former(pid).filter(|_| !is_present) {
                self.former[place].open.get_or_insert(open);
            }
            return !is_present;
        }
        let handed_over = self.former.iter_mut().find(|one| one.open.is_none());
        let is_former = handed_over.is_some();
        if let Some(one) = handed_over.or(self.before.as_mut()) {
            one.open.get_or_insert(open);
        }
        is_former
    }

    /// A process is done. Tells whether it is one that has handed over.
    pub(super) fn drained(&mut self, pid: Option<u64>) -> bool {
        if let Some(is_present) = self.is_present(pid) {
            if let Some(place) = self.former(pid).filter(|_| !is_present) {
                self.former.remove(place);
            }
            return !is_present;
        }
        if self.former.is_empty() {
            self.before.iter_mut().for_each(|before| before.drained = true);
            return false;
        }
        self.former.remove(0);
        true
    }

    /// A request has ended. Tells whether it is one of the present process.
    pub(super) fn ended(&mut self, number: u64, begun: Duration) -> bool {
        self.requests += 1;
        // Both accept clients for a moment.
        if self.started.is_some_and(|started| begun < started + SLACK) {
            let former = self.started.is_some_and(|started| begun + SLACK < started);
            self.of_the_former += u64::from(former);
            if let Some(before) = self.before.as_mut() {
                before.most = before.most.max(number);
            }
            // Whose it is that began in that moment is known where nobody took over.
            return !former && self.before.is_some();
        }
        if self.former.iter().any(|one| one.may_have(number)) {
            self.of_the_former += 1;
            return false;
        }
        self.most = self.most.max(number);
        self.numbers = Some(match self.numbers {
            None => (1, number, number),
            Some((count, least, most)) => (count + 1, least.min(number), most.max(number)),
        });
        let before = self.begun.range(..number).next_back().is_some_and(|(_, at)| begun + SLACK < *at);
        let behind = self.begun.range(number.saturating_add(1)..).next().is_some_and(|(_, at)| begun > *at + SLACK);
        if before || behind {
            self.strange += 1;
            return true;
        }
        self.stride = self.stride.max(1);
        if number.is_multiple_of(self.stride) {
            self.begun.insert(number, begun);
        }
        if self.begun.len() > MOST {
            self.stride = self.stride.saturating_mul(2);
            let stride = self.stride;
            self.begun.retain(|number, _| number.is_multiple_of(stride));
        }
        true
    }

    /// Of the present process no more comes: numbers that it would have given twice are others'.
    fn count_twice(&mut self) {
        if let Some((count, least, most)) = self.numbers.take() {
            self.strange += count.saturating_sub((most - least).saturating_add(1));
        }
    }

    /// Why the log can't be the work of one process at a time, if it can't.
    pub(super) fn several(&mut self) -> Option<String> {
        self.count_twice();
        let former = if self.hand_overs == 0 { self.of_the_former } else { 0 };
        let strange = self.strange + former;
        let many = strange >= CHANCE && strange as f64 >= self.requests as f64 * PART;
        many.then(|| {
            format!(
                "several processes have written into one log at once: {strange} of {} requests don't stand in the order of their numbers; record \
                 the log of each process by itself",
                self.requests
            )
        })
    }

    /// What a hand-over leaves out of the replay.
    pub(super) fn notes(&self) -> Option<String> {
        (self.hand_overs > 0).then(|| {
            format!(
                "{} hand-overs from one process to the next, which are not replayed: {} requests of the former ones ended behind them",
                self.hand_overs, self.of_the_former
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENTH: Duration = Duration::from_millis(100);

    /// Requests at these rates in a second, from these numbers on, for five minutes.
    fn several(processes: &[(u32, u64)]) -> Option<String> {
        let mut all: Vec<(Duration, u64)> = Vec::new();
        for (rate, first) in processes {
            all.extend((0..rate * 300).map(|place| (Duration::from_secs(1) / *rate * place, first + u64::from(place))));
        }
        all.sort();
        let mut seen = Processes::default();
        for (begun, number) in all {
            seen.ended(number, begun);
        }
        seen.several()
    }

    #[test]
    fn one_process_is_one_and_two_at_once_are_told_from_it_whatever_their_numbers() {
        for one in [[(50, 1)], [(1, 70_000)], [(2000, 1)]] {
            assert_eq!(several(&one), None);
        }
        for two in
            [[(10, 1), (10, 1)], [(10, 1), (1, 1)], [(20, 50_000), (1, 1)], [(1, 50_000), (20, 1)], [(5, 1), (5, 200)]]
        {
            assert!(several(&two).is_some_and(|text| text.starts_with("several processes")), "{two:?}");
        }
    }

    #[test]
    fn requests_that_end_in_another_order_and_a_clock_that_is_set_are_one_process() {
        let mut seen = Processes::default();
        for number in (0..1000).rev() {
            seen.ended(number.into(), TENTH * number);
        }
        for number in 1000..2000 {
            seen.ended(number.into(), Duration::from_secs(3600) + TENTH * number);
        }
        assert_eq!(seen.several(), None);
    }

    #[test]
    fn a_start_begins_anew_and_what_the_former_process_ends_behind_it_needs_a_hand_over() {
        for (hand_over, several) in [(true, false), (false, true)] {
            let mut seen = Processes::default();
            for number in 0..100 {
                seen.ended(number.into(), TENTH * number);
            }
            seen.started(Duration::from_secs(20));
            if hand_over {
                seen.handed_over();
            }
            let mine: Vec<bool> = (100..120).map(|number| seen.ended(number.into(), TENTH * number)).collect();
            assert_eq!(mine, [false; 20]);
            for number in 0..100 {
                assert!(seen.ended(number.into(), Duration::from_secs(21) + TENTH * number));
            }
            assert_eq!((seen.several().is_some(), seen.notes().is_some()), (several, hand_over));
        }
    }
}
