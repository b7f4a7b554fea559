//! The expectations of a scenario are held against the history of its run.

use std::ops::RangeInclusive;
use std::time::Duration;

use loadgen::{Failure, FailureKind, Phase};

use super::history::History;
use super::part::Part;
use super::violation::Violation;
use super::witnesses::{ClientRequest, Witnesses};
use crate::record::{ProxyEvent, What};
use crate::scenario::{Expectation, FailurePhase, RequestOutcome, Span, UpstreamState};

/// The expectations that the run does not meet. What one proxy tells is looked for in its part.
pub(super) fn check(history: &History<'_>, parts: &[Part]) -> Vec<Violation> {
    let expectations = history.scenario.expect.iter().enumerate();
    expectations
        .filter_map(|(index, expectation)| {
            let part = expectation.proxy().and_then(|proxy| parts.iter().find(|part| part.proxy() == proxy));
            let (text, lines) = match part {
                Some(part) => {
                    let (text, lines) = judge(&part.history(), expectation)?;
                    (text, lines.into_iter().map(|line| part.place(line)).collect())
                }
                None => judge(history, expectation)?,
            };
            let what = serde_json::to_string(expectation).unwrap_or_default();
            Some(Violation { of: format!("expect[{index}]"), text: format!("{text}; expected {what}"), lines })
        })
        .collect()
}

type Found = Option<(String, Vec<usize>)>;

fn judge(history: &History<'_>, expectation: &Expectation) -> Found {
    let late = history.witnesses.tolerance;
    match expectation {
        Expectation::Picks { proxy: _, upstream, exactly, at_least, at_most, from, until } => {
            let (until, after) = match until {
                Some(until) => (until.get(), late),
                None => (history.witnesses.liveness, Duration::ZERO),
            };
            let picks = |from: Duration, until: Duration| {
                places(history, |at, what| {
                    at >= from
                        && at < until
                        && matches!(what, What::Proxy(ProxyEvent::PickMade { ticket: Some(_), upstream: picked, .. })
                            if picked.as_str() == upstream)
                })
            };
            let before = if from.get().is_zero() { Duration::ZERO } else { late };
            let lines = picks(from.get(), until + after);
            // What is due at the edge of a window may be late, so the count is only known to lie between two numbers.
            let least = picks(from.get() + before, until).len();
            between(least..=lines.len(), "first picks", *exactly, *at_least, *at_most).map(|text| (text, lines))
        }
        Expectation::Reached { upstream, client, exactly, at_least, at_most, from, until } => {
            let witnesses = &history.witnesses;
            let window = |from, until| -> Vec<usize> {
                let asked = witnesses.requests.iter().filter(|(id, _)| !Witnesses::is_own(id));
                let mine = asked.filter(|(_, asked)| client.as_deref().is_none_or(|name| asked.client == name));
                let began = mine.filter(|(_, asked)| (from..until).contains(&asked.began));
                let there = began.flat_map(|(id, _)| witnesses.journals.of(id));
                there
                    .filter(|one| upstream.as_deref().is_none_or(|name| one.host == name))
                    .map(|one| one.line)
                    .collect()
            };
            let lines = window(from.get(), edge(*until).saturating_add(late));
            let least = window(from.get() + before(*from, late), edge(*until)).len();
            let what = format!("requests reached {}", upstream.as_deref().unwrap_or("an upstream"));
            between(least..=lines.len(), &what, *exactly, *at_least, *at_most).map(|text| (text, lines))
        }
        Expectation::Share { proxy: _, upstream, at_least, at_most, from, until } => {
            let until = until.map_or(history.witnesses.liveness, |until| until.get());
            let picks = |of: Option<&str>| {
                places(history, |at, what| {
                    (from.get()..until).contains(&at)
                        && matches!(what, What::Proxy(ProxyEvent::PickMade { ticket: Some(_), upstream: picked, .. })
                            if of.is_none_or(|name| picked.as_str() == name))
                })
            };
            let (mine, all) = (picks(Some(upstream)), picks(None));
            let share = mine.len() as f64 / all.len().max(1) as f64;
            let text = format!("{upstream} had {} of {} first picks", mine.len(), all.len());
            (!(*at_least..=*at_most).contains(&share)).then_some((text, mine))
        }
        Expectation::Requests { outcome, phase, status, client, exactly, at_least, at_most, from, until } => {
            let ended = asked_by(history, client.as_deref());
            let mine = ended.filter_map(|asked| Some((asked.began, asked.end?)));
            let fits = mine.filter(|(_, seen)| {
                let failure = seen.result.failure;
                includes(*outcome, failure)
                    && phase.is_none_or(|place| failure.is_some_and(|failure| phase_of(failure.phase) == place))
                    && status.is_none_or(|status| seen.result.status == Some(status))
            });
            let fits: Vec<_> = fits.map(|(began, seen)| (began, seen.line)).collect();
            let window = |from, until| {
                let began = fits.iter().filter(move |(began, _)| (from..until).contains(began));
                began.map(|(_, line)| *line).collect::<Vec<usize>>()
            };
            let lines = window(from.get(), edge(*until).saturating_add(late));
            let least = window(from.get() + before(*from, late), edge(*until)).len();
            between(least..=lines.len(), "such requests", *exactly, *at_least, *at_most).map(|text| (text, lines))
        }
        Expectation::Turn { proxy: _, upstream, to, after, within } => {
            let turns = places(history, |at, what| at >= after.get() && turn(what, upstream) == Some(*to));
            match turns.first() {
                None => Some((format!("{upstream} never became {to:?} after {after}"), Vec::new())),
                Some(line) if history.lines[*line].at() > after.get() + within.get() + late => {
                    Some((format!("{upstream} became {to:?} too late"), vec![*line]))
                }
                Some(_) => None,
            }
        }
        Expectation::State { proxy: _, upstream, at, is } => {
            let turns = places(history, |then, what| then <= at.get() && turn(what, upstream).is_some());
            let stands = turns.last().and_then(|line| turn(&history.lines[*line].what, upstream));
            let stands = stands.unwrap_or(UpstreamState::Eligible);
            let turns_late = places(history, |then, what| {
                then > at.get() && then <= at.get() + late && turn(what, upstream) == Some(*is)
            });
            (stands != *is && turns_late.is_empty()).then(|| (format!("{upstream} was {stands:?} at {at}"), turns))
        }
        Expectation::Failover { proxy: _, within } => {
            let all = history.processes.iter().flat_map(|process| process.requests.values());
            let late = all.filter_map(|asked| asked.finished).filter(|(_, end)| {
                end.attempts > 1 && end.outcome == "ok" && Duration::from_micros(end.latency_us) > within.get() + late
            });
            let lines: Vec<usize> = late.map(|(line, _)| line).collect();
            (!lines.is_empty()).then(|| (format!("{} requests failed over too late", lines.len()), lines))
        }
        Expectation::Latency { at_most, client } => {
            let allowed = late;
            let ended = asked_by(history, client.as_deref()).filter_map(|asked| asked.end);
            let late = ended.filter(|seen| {
                seen.result.failure.is_none()
                    && seen.result.answered().is_some_and(|took| took > at_most.get() + allowed)
            });
            let lines: Vec<usize> = late.map(|seen| seen.line).collect();
            (!lines.is_empty()).then(|| (format!("{} answers came too late", lines.len()), lines))
        }
        Expectation::Seen { event, at_least, at_most, with } => {
            let lines = told(history, event, with.as_deref());
            within(lines.len(), "such events", None, Some(*at_least), *at_most).map(|text| (text, lines))
        }
        // A single run can't decide this.
        Expectation::Sometimes { .. } => None,
    }
}

/// The requests of the story, and of `client`, where one is named.
fn asked_by<'a>(history: &'a History<'_>, client: Option<&'a str>) -> impl Iterator<Item = &'a ClientRequest<'a>> {
    let Witnesses { requests, pages, .. } = &history.witnesses;
    let asked = requests.iter().chain(pages).filter(|(id, _)| !Witnesses::is_own(id)).map(|(_, asked)| asked);
    asked.filter(move |asked| client.is_none_or(|name| asked.client == name))
}

/// The end of a window of requests.
fn edge(until: Option<Span>) -> Duration {
    until.map_or(Duration::MAX, Span::get)
}

/// What is due at the begin of a window may be `late`, and be counted or not; what is due at the start can't come before it.
fn before(from: Span, late: Duration) -> Duration {
    if from.get().is_zero() { Duration::ZERO } else { late }
}

/// The places of those `sometimes` that this run does not show.
pub(super) fn unseen(history: &History<'_>) -> Vec<usize> {
    let expectations = history.scenario.expect.iter().enumerate();
    expectations
        .filter(|(_, one)| match one {
            Expectation::Sometimes { event, with } => told(history, event, with.as_deref()).is_empty(),
            _ => false,
        })
        .map(|(index, _)| index)
        .collect()
}

fn told(history: &History<'_>, event: &str, with: Option<&str>) -> Vec<usize> {
    let word = format!("\"event\":\"{event}\"");
    let fits = |text: &str| text.contains(&word) && with.is_none_or(|with| text.contains(with));
    let lines = history.lines.iter().enumerate();
    lines.filter(|(_, line)| fits(&line.to_json())).map(|(place, _)| place).collect()
}

fn places(history: &History<'_>, wanted: impl Fn(Duration, &What) -> bool) -> Vec<usize> {
    let lines = history.lines.iter().enumerate();
    lines.filter(|(_, line)| wanted(line.at(), &line.what)).map(|(place, _)| place).collect()
}

fn turn(what: &What, of: &str) -> Option<UpstreamState> {
    match what {
        What::Proxy(ProxyEvent::Ejected { upstream, .. }) if upstream.as_str() == of => Some(UpstreamState::Ejected),
        What::Proxy(ProxyEvent::Recovered { upstream, .. }) if upstream.as_str() == of => Some(UpstreamState::Eligible),
        _ => None,
    }
}

fn within(
    count: usize,
    what: &str,
    exactly: Option<u64>,
    at_least: Option<u64>,
    at_most: Option<u64>,
) -> Option<String> {
    between(count..=count, what, exactly, at_least, at_most)
}

/// The same of a count that is only known to lie in `counts`.
fn between(
    counts: RangeInclusive<usize>,
    what: &str,
    exactly: Option<u64>,
    at_least: Option<u64>,
    at_most: Option<u64>,
) -> Option<String> {
    let (least, most) = (*counts.start() as u64, *counts.end() as u64);
    let wrong = exactly.is_some_and(|number| !(least..=most).contains(&number))
        || at_least.is_some_and(|number| most < number)
        || at_most.is_some_and(|number| least > number);
    wrong.then(|| if least == most { format!("{most} {what}") } else { format!("{least} to {most} {what}") })
}

/// Whether a request that ended with `failure`, or with none, counts as `outcome`.
fn includes(outcome: RequestOutcome, failure: Option<Failure>) -> bool {
    match outcome {
        RequestOutcome::Ok => failure.is_none(),
        RequestOutcome::Failed => failure.is_some(),
        one => failure.is_some_and(|failure| outcome_of(failure.kind) == one),
    }
}

fn outcome_of(kind: FailureKind) -> RequestOutcome {
    match kind {
        FailureKind::Refused => RequestOutcome::Refused,
        FailureKind::Unreachable => RequestOutcome::Unreachable,
        FailureKind::Status(_) => RequestOutcome::Status,
        FailureKind::Timeout => RequestOutcome::Timeout,
        FailureKind::Reset => RequestOutcome::Reset,
        FailureKind::Cut => RequestOutcome::Cut,
        FailureKind::Corrupt => RequestOutcome::Corrupt,
        FailureKind::Malformed => RequestOutcome::Malformed,
        FailureKind::Tls => RequestOutcome::Tls,
        FailureKind::Local => RequestOutcome::Local,
        FailureKind::Unfinished => RequestOutcome::Unfinished,
    }
}

fn phase_of(phase: Phase) -> FailurePhase {
    match phase {
        Phase::Connect => FailurePhase::Connect,
        Phase::Reply => FailurePhase::Reply,
        Phase::Tls => FailurePhase::Tls,
        Phase::Data => FailurePhase::Data,
    }
}

#[cfg(test)]
mod tests {
    use crate::judge::run::{Verdict, run};
    use crate::scenario;

    fn unmet(expectation: &str) -> bool {
        let text = format!(
            r#"{{"name": "x", "story": "x", "duration": "6s",
            "proxy": {{"health_check": {{"failure_threshold": 1}}}},
            "upstreams": [{{"name": "a"}}, {{"name": "b"}}],
            "clients": [{{"name": "c", "do": "echo", "requests": 40, "rate": 10}}],
            "timeline": [{{"at": "1s", "do": "crash", "host": "a"}}],
            "expect": [{expectation}]}}"#
        );
        let report = run(&scenario::parse(&text).unwrap(), 1);
        assert!(matches!(report.verdict, Verdict::Passed | Verdict::Violated), "{report:#?}");
        assert!(report.violations.iter().all(|one| one.of == "expect[0]"), "{report:#?}");
        report.verdict == Verdict::Violated
    }

    #[test]
    fn each_kind_holds_and_fires() {
        for (met, not) in [
            (
                r#"{"what": "picks", "upstream": "a", "exactly": 5, "until": "1s"}"#,
                r#"{"what": "picks", "upstream": "a", "exactly": 4, "until": "1s"}"#,
            ),
            (
                r#"{"what": "requests", "outcome": "ok", "exactly": 40}"#,
                r#"{"what": "requests", "outcome": "failed", "at_least": 1}"#,
            ),
            (
                r#"{"what": "turn", "upstream": "a", "to": "ejected", "after": "1s", "within": "1s"}"#,
                r#"{"what": "turn", "upstream": "b", "to": "ejected", "after": "1s", "within": "1s"}"#,
            ),
            (
                r#"{"what": "state", "upstream": "a", "at": "3s", "is": "ejected"}"#,
                r#"{"what": "state", "upstream": "a", "at": "500ms", "is": "ejected"}"#,
            ),
            (r#"{"what": "failover", "within": "1s"}"#, r#"{"what": "failover", "within": "1ms"}"#),
            (r#"{"what": "latency", "at_most": "1s"}"#, r#"{"what": "latency", "at_most": "2ms"}"#),
            (
                r#"{"what": "share", "upstream": "a", "at_least": 0.5, "at_most": 0.5, "until": "1s"}"#,
                r#"{"what": "share", "upstream": "a", "at_least": 0.5, "at_most": 1, "from": "2s"}"#,
            ),
            (
                r#"{"what": "reached", "upstream": "a", "at_most": 0, "from": "1100ms"}"#,
                r#"{"what": "reached", "upstream": "b", "at_most": 10, "from": "1100ms"}"#,
            ),
            (
                r#"{"what": "requests", "outcome": "ok", "exactly": 10, "from": "1s", "until": "2s"}"#,
                r#"{"what": "requests", "outcome": "ok", "at_least": 11, "from": "1s", "until": "2s"}"#,
            ),
            (
                r#"{"what": "latency", "at_most": "1s", "client": "c"}"#,
                r#"{"what": "latency", "at_most": "2ms", "client": "c"}"#,
            ),
            (r#"{"what": "seen", "event": "ejected"}"#, r#"{"what": "seen", "event": "reload_failed"}"#),
        ] {
            assert!(!unmet(met), "{met}");
            assert!(unmet(not), "{not}");
        }
    }
}
