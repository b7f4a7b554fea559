//! What an upstream did becomes a plan of faulty-upstream: faults with windows of time and probabilities.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::behaviour::{Came, Counts, Segment};
use crate::scenario::Span;

/// What a simulated connection and reply take by themselves.
const OWN_TIME: Duration = Duration::from_millis(5);
/// From one window of a fault of the listener to the next, where it strikes some connections only: it can't tell them apart.
const TURN: Duration = Duration::from_secs(1);
/// The most windows of such a fault in a segment.
const MOST_TURNS: u32 = 20;
/// Shares above this are all, and below its rest none.
const NEARLY_ALL: f64 = 0.97;

/// The end of the names of targets that fail with `failure` through every upstream: `connect_refused` is `connect-refused.dead`.
pub(in crate::incident) fn dead_zone(failure: &str) -> String {
    format!("{}.dead", failure.replace('_', "-"))
}

/// How a replay makes an attempt fail.
enum Means {
    /// By a fault that can be drawn for each connection or request.
    Drawn(Json),
    /// By a closed listener, which can't tell connections apart.
    Closed,
    /// By cutting the link to the proxy, so that nothing is answered: no simulated network has a backlog that can be full.
    Cut,
}

/// How an attempt is made to fail like that. `None`: it is no upstream's fault.
fn means(came: Came) -> Option<Means> {
    let plain = |name: &str| Means::Drawn(json!({ "fault": name }));
    Some(match came {
        Came::Served(_) => return None,
        Came::Status(407) | Came::Failed("status_407") => plain("status-407"),
        Came::Status(status) if status >= 300 => {
            Means::Drawn(json!({ "fault": "status", "with": { "status": status } }))
        }
        Came::Status(_) => return None,
        Came::Failed("connect_refused" | "connect_failed") => Means::Closed,
        Came::Failed("connect_timeout") => Means::Cut,
        Came::Failed("tls_failed") => plain("handshake-cut"),
        Came::Failed("malformed_head") => plain("garbage"),
        Came::Failed("empty_tunnel") => plain("early-200-reset"),
        Came::Failed("reply_timeout") => plain("reply-never"),
        Came::Failed("closed_before_head") => plain("reply-close"),
        Came::Failed("reset_before_head") => plain("reply-reset"),
        Came::Failed("status_3xx") => plain("redirect"),
        Came::Failed("status_4xx") => plain("status-403"),
        Came::Failed("status_5xx") => plain("status-502"),
        Came::Failed(_) => return None,
    })
}

/// A span of time, to the end of the day where it has none.
type Window = (Duration, Option<Duration>);

/// What makes an upstream behave as it did.
#[derive(Debug)]
pub(in crate::incident) struct Plan {
    /// In faulty-upstream's format; null where it does nothing wrong.
    pub(in crate::incident) faults: Json,
    /// When its link to the proxy is cut, in order.
    pub(in crate::incident) cuts: Vec<Window>,
}

/// Whether a plan can make an upstream fail like that.
pub(in crate::incident) fn can_play(came: Came) -> bool {
    means(came).is_some()
}

/// The plan of an upstream that behaved like `segments`; `dead` are the failures of targets that failed through every upstream.
pub(in crate::incident) fn plan(segments: &[Segment], dead: &BTreeSet<&'static str>) -> Plan {
    let mut plan = Plan { faults: Json::Null, cuts: Vec::new() };
    let mut faults = Vec::new();
    for failure in dead {
        // A target that nobody knows is refused with 502 by itself.
        if let Some(Means::Drawn(mut fault)) = means(Came::Failed(failure)).filter(|_| *failure != "status_5xx") {
            fault["id"] = json!(format!("dead-{}", failure.replace('_', "-")));
            fault["for"] = json!({ "target": format!("*.{}:*", dead_zone(failure)) });
            faults.push(fault);
        }
    }
    for (number, segment) in (1..).zip(segments) {
        of_segment(&mut faults, &mut plan.cuts, number, segment);
    }
    if !faults.is_empty() {
        plan.faults = json!({ "faults": faults });
    }
    plan
}

/// Writes an entry of a plan.
fn entry(fault: &Json, id: &str, (from, until): Window, share: f64) -> Json {
    let mut fault = fault.clone();
    fault["id"] = json!(id);
    let mut when = json!({});
    if !from.is_zero() {
        when["from"] = json!(Span::from(from));
    }
    if let Some(until) = until {
        when["until"] = json!(Span::from(until));
    }
    if share < NEARLY_ALL {
        when["probability"] = json!((share * 1e4).round() / 1e4);
    }
    if when != json!({}) {
        fault["when"] = when;
    }
    fault
}

fn of_segment(faults: &mut Vec<Json>, cuts: &mut Vec<Window>, number: usize, segment: &Segment) {
    // Each fault is drawn by itself and the first that strikes counts, so each has its share of what those in front of it leave.
    for (came, spell) in &segment.spells {
        let window = (spell.from, spell.until);
        let is_left = |other: &Came| other.is_well() || can_play(*other) && other >= came;
        let left = spell.among.iter().filter(|(other, _)| is_left(other)).map(|(_, count)| count).sum::<u64>();
        let share = spell.among.get(came).copied().unwrap_or(0) as f64 / left.max(1) as f64;
        let id = format!("part-{number}-{}", kind_of(*came));
        match means(*came) {
            Some(Means::Drawn(fault)) => faults.push(entry(&fault, &id, window, share)),
            Some(Means::Closed) => {
                let refuse = json!({ "fault": "refuse" });
                let windows = (1..).zip(turns(window, share));
                faults.extend(windows.map(|(turn, window)| entry(&refuse, &format!("{id}-{turn}"), window, 1.0)));
            }
            Some(Means::Cut) => cuts.extend(turns(window, share)),
            None => {}
        }
    }
    let whole = (segment.from, segment.until);
    late(&segment.counts, |fault, kind, share| {
        faults.push(entry(fault, &format!("part-{number}-{kind}"), whole, share));
    });
}

fn kind_of(came: Came) -> String {
    match came {
        Came::Served(octave) => format!("late-{octave}"),
        Came::Status(status) => format!("status-{status}"),
        Came::Failed(word) => word.replace('_', "-"),
    }
}

/// Windows that are `share` of `whole`, evenly spread.
fn turns((from, until): Window, share: f64) -> Vec<Window> {
    if share >= NEARLY_ALL {
        return vec![(from, until)];
    }
    let span = until.map_or(TURN * MOST_TURNS, |until| until.saturating_sub(from));
    let count = u32::try_from(span.as_millis() / TURN.as_millis()).unwrap_or(u32::MAX).clamp(1, MOST_TURNS);
    let each = span / count;
    let window = |turn: u32| {
        let begin = from + each * turn;
        (begin, Some(begin + each.mul_f64(share)))
    };
    (0..count).map(window).collect()
}

/// Delays add up, each drawn by itself. So the first is that of the fastest replies, and each further one is the step from a doubling to
/// the next, with the share of replies that are at least as slow. The mean is right, and percentiles are within a doubling.
fn late(counts: &Counts, mut put: impl FnMut(&Json, &str, f64)) {
    let served: Vec<(u8, u64)> = counts
        .iter()
        .filter_map(|(came, count)| match came {
            Came::Served(octave) => Some((*octave, *count)),
            _ => None,
        })
        .collect();
    let all: u64 = served.iter().map(|(_, count)| count).sum();
    let mut slower = all;
    let mut reached = Duration::ZERO;
    for (octave, count) in served {
        let most = Duration::from_millis(1 << octave);
        let least = (most / 2).saturating_sub(OWN_TIME);
        let jitter = most.saturating_sub(OWN_TIME).saturating_sub(least);
        if least > reached {
            let fault = json!({ "fault": "reply-late", "with": { "delay": Span::from(least - reached), "jitter": Span::from(jitter) } });
            put(&fault, &format!("late-{octave}"), slower as f64 / all as f64);
            reached = least;
        }
        slower -= count;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::behaviour::Spell;
    use super::*;

    fn segment(from: u64, until: Option<u64>, counts: &[(Came, u64)]) -> Segment {
        let (from, until) = (Duration::from_secs(from), until.map(Duration::from_secs));
        let counts: Counts = counts.iter().copied().collect();
        let failed = counts.keys().copied().filter(|came| !came.is_well());
        let spells = failed.map(|came| (came, Spell { from, until, among: counts.clone() })).collect();
        Segment { from, until, counts, spells }
    }

    #[test]
    fn what_came_always_has_a_window_and_what_came_sometimes_a_probability_too() {
        let well = Came::Served(2);
        let down = Came::Failed("connect_refused");
        let segments = [
            segment(0, Some(10), &[(well, 50)]),
            segment(10, Some(20), &[(down, 4)]),
            segment(20, None, &[(well, 50), (Came::Status(503), 25), (Came::Failed("reply_timeout"), 25)]),
        ];
        let plan = plan(&segments, &BTreeSet::from(["status_4xx", "status_5xx"])).faults;
        assert!(faulty_upstream::plan::parse(&plan.to_string()).is_ok(), "{plan}");
        assert_eq!(
            plan["faults"][0],
            json!({"id": "dead-status-4xx", "fault": "status-403", "for": {"target": "*.status-4xx.dead:*"}})
        );
        assert_eq!(
            plan["faults"][1],
            json!({"id": "part-2-connect-refused-1", "fault": "refuse", "when": {"from": "10s", "until": "20s"}})
        );
        let rest: Vec<_> = plan["faults"].as_array().unwrap()[2..]
            .iter()
            .map(|fault| (&fault["fault"], &fault["when"]["probability"]))
            .collect();
        // Half of the first, then a third of what is left.
        assert_eq!(rest, [(&json!("status"), &json!(0.25)), (&json!("reply-never"), &json!(0.3333))]);
    }

    #[test]
    fn a_listener_that_refused_some_has_windows_with_their_share_of_the_time() {
        let some = segment(10, Some(20), &[(Came::Served(2), 30), (Came::Failed("connect_refused"), 10)]);
        let plan = plan(&[some], &BTreeSet::new()).faults;
        assert!(faulty_upstream::plan::parse(&plan.to_string()).is_ok(), "{plan}");
        let windows = plan["faults"].as_array().unwrap();
        assert_eq!(windows.len(), 10);
        assert_eq!(windows[1]["when"], json!({"from": "11s", "until": "11s 250ms"}));
    }

    #[test]
    fn what_failed_strikes_in_its_spell_with_its_share_there() {
        let seconds = Duration::from_secs;
        let down = Came::Failed("connect_refused");
        let (well, status) = (Came::Served(2), Came::Status(503));
        let mut segment = segment(0, None, &[(well, 80), (status, 10), (down, 1)]);
        let among = |counts: &[(Came, u64)]| counts.iter().copied().collect::<Counts>();
        segment.spells = BTreeMap::from([
            (
                status,
                Spell {
                    from: seconds(30),
                    until: Some(seconds(50)),
                    among: among(&[(well, 9), (status, 10), (down, 1)]),
                },
            ),
            (down, Spell { from: seconds(40), until: Some(seconds(41)), among: among(&[(status, 1), (down, 1)]) }),
        ]);
        let plan = plan(&[segment], &BTreeSet::new()).faults;
        assert!(faulty_upstream::plan::parse(&plan.to_string()).is_ok(), "{plan}");
        let windows: Vec<_> = plan["faults"].as_array().unwrap().iter().map(|fault| &fault["when"]).collect();
        // Of what the status leaves there, everything is refused.
        let wanted =
            [json!({"from": "30s", "until": "50s", "probability": 0.5}), json!({"from": "40s", "until": "41s"})];
        assert_eq!(windows, wanted.iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_link_is_cut_where_nothing_was_answered() {
        let silent = Came::Failed("connect_timeout");
        let segments = [segment(0, Some(10), &[(Came::Served(2), 30)]), segment(10, Some(20), &[(silent, 10)])];
        let plan = plan(&segments, &BTreeSet::new());
        let seconds = Duration::from_secs;
        assert_eq!((plan.faults, plan.cuts), (Json::Null, vec![(seconds(10), Some(seconds(20)))]));
    }

    #[test]
    fn delays_have_the_mean_that_was_seen() {
        let counts = Counts::from([(Came::Served(4), 50), (Came::Served(6), 40), (Came::Served(9), 10)]);
        let mut mean = 0.0;
        late(&counts, |fault, _, share| {
            let millis = |field: &str| {
                humantime::parse_duration(fault["with"][field].as_str().unwrap()).unwrap().as_secs_f64() * 1e3
            };
            mean += share * millis("delay");
        });
        // Halves of 16, 64 and 512 ms, less what the simulation takes by itself.
        assert!((mean - (0.5 * 3.0 + 0.4 * 27.0 + 0.1 * 251.0)).abs() < 0.01, "{mean}");
    }
}
