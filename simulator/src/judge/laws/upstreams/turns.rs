//! The law `turns`: while nothing is done to anybody, upstreams get their turns evenly, and not in whole rounds only.

use std::collections::BTreeSet;
use std::time::Duration;

use loadgen::ActionKind;
use proxy::config::Config;

use super::shares::gcd;
use crate::judge::checked::{Case, Checked};
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, RECOVERY_MARGIN, Witnesses};
use crate::scenario;

pub(in crate::judge) const LAW: Law = Law {
    name: "turns",
    text: "While nothing is done to anybody, no upstream is ever a whole request ahead of or behind its share of those since the start, or \
           two of those since a later moment, wherever those that are under way may be.",
    check: Check::BlackBox(check),
};

/// How long behind a reload requests may still be of the configuration before it, or another upstream asked for a name that failed.
const ON_THE_WAY: Duration = Duration::from_secs(2);

fn check(witnesses: &Witnesses<'_>) -> Checked {
    // Others may take turns in another order: whole rounds are all that they promise.
    if !witnesses.subject.tells() {
        return Checked::default();
    }
    let mut troubles = troubles(witnesses);
    let mut turns = Vec::new();
    for (id, asked) in &witnesses.requests {
        match turn(witnesses, id, asked) {
            Ok(turn) => turns.extend(turn),
            Err(Trouble) => troubles.push((asked.began, witnesses.end_of(asked) + all_are_back(witnesses))),
        }
    }
    // Nobody tells whose turns these have taken.
    let reaches = |asked: &ClientRequest<'_>| match witnesses.action_of(asked).map(|action| &action.kind) {
        Some(ActionKind::Abuse { by }) => by.reaches_upstreams(),
        _ => false,
    };
    let senseless = witnesses.pages.values().filter(|asked| reaches(asked));
    turns.extend(senseless.map(|asked| Turn { began: asked.began, answered: None, host: None, line: asked.line }));
    turns.sort_by_key(|turn| turn.began);
    let stretches = quiet(troubles, witnesses).into_iter();
    stretches.flat_map(|(from, until)| judge(witnesses, &turns, from, until)).collect()
}

/// A turn of an upstream: it was taken at some time from when its request began until that was answered.
struct Turn<'a> {
    began: Duration,
    /// `None`: nobody knows when.
    answered: Option<Duration>,
    host: Option<&'a str>,
    line: usize,
}

/// A request that may have changed what the proxy thinks of an upstream, or was not served by whose turn it was.
struct Trouble;

/// The turn that a request has taken; none where it was turned away for who asked.
fn turn<'a>(witnesses: &Witnesses<'a>, id: &str, asked: &ClientRequest<'a>) -> Result<Option<Turn<'a>>, Trouble> {
    let entries = witnesses.journals.of(id);
    let mut turn = Turn { began: asked.began, answered: None, host: None, line: asked.line };
    let Some(end) = asked.end else { return Ok(Some(turn)) };
    if entries.is_empty() && witnesses.is_admitted(asked, end.at) == Some(false) {
        return Ok(None);
    }
    let [entry] = entries else { return Err(Trouble) };
    if end.result.failure.is_some() || !entry.is_success() || !entry.record.faults.is_empty() {
        return Err(Trouble);
    }
    let phases = &end.result.phases;
    let reply = phases.reply_us.filter(|_| witnesses.sends_its_head_at_once(id, asked));
    let answered = reply.map(|reply| asked.began + Duration::from_micros(phases.connect_us.unwrap_or(0) + reply));
    turn.answered = Some(answered.unwrap_or(end.at).min(end.at));
    turn.host = Some(entry.host);
    Ok(Some(turn))
}

/// When the turns may have been others than those of the schedule that the configuration makes, each until all are eligible again.
fn troubles(witnesses: &Witnesses<'_>) -> Vec<(Duration, Duration)> {
    let back = all_are_back(witnesses);
    let upstreams = witnesses.scenario.upstreams.iter().map(|one| one.name.as_str());
    let disturbed = upstreams.chain([witnesses.proxy]).flat_map(|host| witnesses.disturbances.all(host));
    let disturbed = disturbed.chain(witnesses.disturbances.of_machine());
    let mut troubles: Vec<_> = disturbed.map(|(from, until)| (from, until.saturating_add(back))).collect();
    troubles.extend(witnesses.configurations.given().skip(1).map(|(at, _)| (at, at + ON_THE_WAY)));
    troubles.extend(witnesses.machine.failed_lookups.iter().map(|(at, _)| (*at, *at + ON_THE_WAY)));
    let by_hand = witnesses.played.iter().filter(|(_, action)| matches!(action, scenario::Action::Steer { .. }));
    troubles.extend(by_hand.map(|(at, _)| (*at, *at + back)));
    troubles.extend(witnesses.disturbances.stopped().map(|at| (at, Duration::MAX)));
    troubles
}

/// How long an upstream that was put aside may stay so.
fn all_are_back(witnesses: &Witnesses<'_>) -> Duration {
    let of = |config: &Config| {
        let checks =
            config.health.active.as_ref().map_or(Duration::ZERO, |checks| checks.interval + config.health.timeout);
        let attempt = config.timeouts.connect + config.timeouts.reply;
        config.health.policy.backoff_max * 6 / 5 + checks + attempt + RECOVERY_MARGIN * 2
    };
    witnesses.configurations.given().map(|(_, config)| of(config)).max().unwrap_or_default()
}

/// The stretches between the `troubles`. Once the run has seen all come back, what was before is over.
fn quiet(mut troubles: Vec<(Duration, Duration)>, witnesses: &Witnesses<'_>) -> Vec<(Duration, Duration)> {
    let converged = witnesses.convergence.filter(|one| one.rounds > 0).map_or(Duration::MAX, |one| one.at);
    for (from, until) in &mut troubles {
        if *from < converged {
            *until = converged.min(*until);
        }
    }
    troubles.push((witnesses.over, Duration::MAX));
    troubles.sort_unstable();
    let (mut stretches, mut since) = (Vec::new(), Duration::ZERO);
    for (from, until) in troubles {
        if from > since {
            stretches.push((since, from));
        }
        since = since.max(until);
    }
    stretches
}

/// The upstreams that take turns, with what they have in common divided out of their weights; none where names, credentials or time-outs
/// make it unclear who gets what.
fn shares<'a>(witnesses: &'a Witnesses<'_>, config: &'a Config) -> Option<Vec<(&'a str, i64)>> {
    let weighted = || config.upstreams.iter().filter(|one| one.weight.get() > 0);
    let divisor = weighted().fold(0, |divisor, one| gcd(divisor, u64::from(one.weight.get())));
    let mut shares = Vec::new();
    let mut known = BTreeSet::new();
    for upstream in weighted() {
        let hosts = witnesses.configurations.hosts_of(&upstream.host, Duration::ZERO, witnesses.over);
        let host = hosts.iter().next().copied().filter(|_| hosts.len() == 1)?;
        if !known.insert(host) || !witnesses.serves(upstream, host, config) {
            return None;
        }
        shares.push((host, i64::try_from(u64::from(upstream.weight.get()) / divisor).ok()?));
    }
    Some(shares)
}

/// A case for each upstream that takes turns in the stretch.
fn judge(witnesses: &Witnesses<'_>, turns: &[Turn<'_>], from: Duration, until: Duration) -> Vec<Case> {
    let mine: Vec<&Turn<'_>> =
        turns.iter().filter(|one| one.began <= until && one.answered.is_none_or(|at| at >= from)).collect();
    let known = |turn: &Turn<'_>| turn.began >= from && turn.answered.is_some_and(|at| at < until);
    if !mine.iter().any(|turn| known(turn)) {
        return Vec::new();
    }
    let config = witnesses.configurations.at(from);
    let Some(shares) = shares(witnesses, config) else { return Vec::new() };
    let sum: i64 = shares.iter().map(|(_, weight)| weight).sum();
    let judge = |(host, weight): &(&str, i64)| {
        let mut count = Count { weight: *weight, sum, ..Count::default() };
        let mut ends = Vec::new();
        // One that began before the first request of the stretch, or ends behind it, may have taken anybody's turn.
        count.unknown = mine.iter().filter(|turn| turn.began < from).count() as i64;
        let mut steps: Vec<(Duration, bool, &Turn<'_>)> = Vec::new();
        for turn in mine.iter().filter(|turn| turn.began >= from) {
            steps.push((turn.began, false, turn));
            if known(turn) {
                ends.push((turn.answered.unwrap_or(turn.began), true, *turn));
            }
        }
        steps.append(&mut ends);
        // At one instant requests begin first, since they may have been under way together.
        steps.sort_by_key(|(at, ends, _)| (*at, *ends));
        let mut bounds = Bounds { from_start: from.is_zero(), ..Bounds::default() };
        bounds.allow(&count);
        for (_, ends, turn) in steps {
            count.take(turn.host == Some(host), known(turn), ends);
            if let Some((apart, turns)) = bounds.allow(&count) {
                let text = format!(
                    "{host} of weight {weight} in {sum} was {apart} requests off its share at least, of {turns} since {from:?}"
                );
                return Case::Broken(Violation::found(text, [turn.line]));
            }
        }
        Case::Holds
    };
    shares.iter().map(judge).collect()
}

/// How many turns an upstream and the others have had at a moment: so many at least, and so many at most.
#[derive(Default)]
struct Count {
    weight: i64,
    sum: i64,
    mine: (i64, i64),
    others: (i64, i64),
    /// Turns that may have been anybody's, if they were taken at all.
    unknown: i64,
}

impl Count {
    fn take(&mut self, is_mine: bool, is_known: bool, ends: bool) {
        if !is_known {
            self.unknown += 1;
            return;
        }
        let (least, most) = if is_mine { &mut self.mine } else { &mut self.others };
        *if ends { least } else { most } += 1;
    }

    /// How far it is ahead of its share at least and at most, times the sum of the weights.
    fn ahead(&self) -> (i64, i64) {
        let ahead = |mine: i64, others: i64| mine * (self.sum - self.weight) - others * self.weight;
        let least = ahead(self.mine.0, self.others.1 + self.unknown);
        (least, ahead(self.mine.1 + self.unknown, self.others.0))
    }
}

/// How far ahead of its share an upstream may be, by what it was at all moments before.
#[derive(Default)]
struct Bounds {
    /// Nobody has taken a turn before.
    from_start: bool,
    /// The highest of what it was ahead at least, and the lowest of what it was at most.
    seen: Option<(i64, i64)>,
}

impl Bounds {
    /// How many requests it is off, and of how many, if that is too far.
    fn allow(&mut self, count: &Count) -> Option<(i64, i64)> {
        let (least, most) = count.ahead();
        let (highest, lowest) = self.seen.unwrap_or((least, most));
        let (highest, lowest) = (highest.max(least), lowest.min(most));
        self.seen = Some((highest, lowest));
        let apart = (least - lowest).max(highest - most);
        // A stretch from a later moment on is the difference of two from the start.
        let (apart, bound) = if self.from_start { (least.max(-most), count.sum) } else { (apart, count.sum * 2) };
        (apart >= bound).then(|| (apart / count.sum.max(1), count.mine.1 + count.others.1))
    }
}

#[cfg(test)]
mod tests {
    use mock_upstreams::journal::Event;

    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::What;
    use crate::scenario::HostName;

    fn of(rest: &str) -> Twin {
        let text = format!(
            r#"{{ "name": "turns", "story": "Upstreams take turns.", "duration": "4s",
            "proxy": {{ "health_check": {{ "backoff_base": "1s", "backoff_max": "1s" }},
                "upstream_proxies": [{{ "url": "http://a:8080", "weight": 5 }}, {{ "url": "http://b:8080", "weight": 4 }}] }},
            "upstreams": [{{ "name": "a" }}, {{ "name": "b" }}], {rest} }}"#
        );
        Twin::of_scenario(&LAW, &text)
    }

    /// Has the requests of every nine be served by the one upstream first, and then by the other. The run's own are left as they are.
    fn in_blocks(twin: &mut Twin, own: bool) {
        let is_own = |id: &Option<String>| id.as_deref().is_some_and(crate::judge::witnesses::Witnesses::is_own);
        let mut turn = 0;
        for line in &mut twin.record.trace.lines {
            if let What::Upstream(Event::Request(record)) = &line.what
                && is_own(&record.id) == own
            {
                line.host = HostName::new(if turn % 9 < 5 { "a" } else { "b" });
                turn += 1;
            }
        }
    }

    #[test]
    fn fires_where_turns_are_taken_in_blocks_though_each_round_is_exact() {
        for action in ["connect", "http:bytes=100,keep-alive", "hold:for=2s,every=1s"] {
            let clients =
                format!(r#""clients": [{{ "name": "client", "do": "{action}", "requests": 18, "rate": 10 }}]"#);
            let mut twin = of(&clients);
            in_blocks(&mut twin, false);
            twin.fires();
        }
    }

    /// The turn of an upstream that never came to read the request, which then went to the other: on real sockets a slow one has not
    /// done so when the run is over.
    #[test]
    fn a_connection_of_which_no_request_is_told_may_have_taken_a_turn() {
        for told in [true, false] {
            let mut twin = of(r#""clients": [{ "name": "client", "do": "connect", "requests": 18, "rate": 10 }]"#);
            let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
            let line = &mut twin.record.trace.lines[at];
            let What::Upstream(Event::Request(record)) = &mut line.what else { return };
            let of = std::mem::replace(&mut record.connection, 999);
            let other = if line.host.as_str() == "a" { "b" } else { "a" };
            let slow = std::mem::replace(&mut line.host, HostName::new(other));
            let ends =
                |what: &What| matches!(what, What::Upstream(Event::Closed { connection, .. }) if *connection == of);
            twin.record.trace.lines.retain(|line| told || line.host != slow || !ends(&line.what));
            if told { twin.fires() } else { assert_eq!(twin.checked().violations, []) }
        }
    }

    /// Of two that are under way at once nobody knows who was first.
    #[test]
    fn who_is_under_way_may_have_taken_either_turn() {
        let mut twin = of(r#""clients": [{ "name": "client", "do": "connect", "requests": 9, "rate": 1000 }]"#);
        in_blocks(&mut twin, false);
        assert_eq!(twin.checked().violations, []);
    }

    /// Its head is long under way, and the reply is counted from its end on.
    #[test]
    fn a_head_that_comes_slowly_is_under_way() {
        let mut twin =
            of(r#""clients": [{ "name": "slow", "do": "echo:bytes=10,slow=10/50ms", "requests": 9, "rate": 10 }]"#);
        in_blocks(&mut twin, false);
        assert_eq!(twin.checked().violations, []);
    }

    #[test]
    fn nothing_is_said_of_turns_while_somebody_may_be_out() {
        let mut twin = of(
            r#""timeline": [{ "at": "100ms", "do": "crash", "host": "b" }, { "at": "200ms", "do": "restart", "host": "b" }],
            "clients": [{ "name": "client", "do": "connect", "requests": 27, "rate": 10 }]"#,
        );
        let at = twin.checked().cases;
        in_blocks(&mut twin, false);
        assert_eq!((twin.checked().violations.len(), twin.checked().cases), (0, at));
    }

    #[test]
    fn fires_where_the_rounds_at_the_end_are_no_turns() {
        let mut twin = of(
            r#""timeline": [{ "at": "100ms", "do": "crash", "host": "b" }, { "at": "200ms", "do": "restart", "host": "b" }],
            "clients": [{ "name": "client", "do": "connect", "requests": 1 }]"#,
        );
        in_blocks(&mut twin, true);
        twin.fires();
    }
}
