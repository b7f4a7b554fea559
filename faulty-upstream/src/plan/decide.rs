//! What a plan decides about a connection, a request and the listener.

use std::time::Duration;

use mock_upstreams::{Asked, Form};

use super::entries::Plan;
use super::entry::Entry;
use crate::effect::listener::{Phase, Standing, State};
use crate::effect::reply::Reply;
use crate::effect::tunnel::Effects;
use crate::fault::{Act, Moment};

/// What a plan decides about one request.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// It is answered that much later.
    pub(crate) delay: Duration,
    /// In the place of the good reply.
    pub(crate) reply: Option<Reply>,
    /// For the tunnel's bytes.
    pub(crate) effects: Option<Effects>,
    /// The faults, as the journal names them.
    pub(crate) labels: Vec<String>,
}

impl Plan {
    /// What happens to a connection before a byte of it is read: label and reply of the first entry that strikes.
    pub(crate) fn on_connection(&mut self, upstream: &str, now: Duration, connection: u64) -> Option<(String, Reply)> {
        let seed = self.seed;
        for entry in &mut self.entries {
            let Act::Connection(act) = entry.fault.act else { continue };
            if let Some(mut draw) = entry.strikes(seed, upstream, now, connection, 0) {
                entry.struck += 1;
                return Some((entry.label(), act(&entry.with, &mut draw)));
            }
        }
        None
    }

    /// What happens to a request.
    pub(crate) fn on_request(&mut self, upstream: &str, now: Duration, asked: &Asked) -> Chosen {
        let mut chosen = Chosen::default();
        let seed = self.seed;
        let draw = |entry: &Entry| {
            let included = entry.whom.includes(asked);
            included.then(|| entry.strikes(seed, upstream, now, asked.connection, asked.request)).flatten()
        };
        let mut labels = Vec::new();
        let mut strike = |entry: &mut Entry| {
            entry.struck += 1;
            labels.push(entry.label());
        };
        for entry in &mut self.entries {
            let Some(mut draw) = draw(entry) else { continue };
            match entry.fault.act {
                Act::Delay(act) => {
                    let moment = Moment { since: now.saturating_sub(entry.begun()), connection: asked.connection };
                    chosen.delay += act(&entry.with, &moment, &mut draw);
                    strike(entry);
                }
                Act::Reply(applies, act) if chosen.reply.is_none() && applies.to(asked) => {
                    let reply = act(&entry.with, asked, &mut draw);
                    // No fault lets in whom the upstream does not admit.
                    if asked.admitted || !reply.opens_tunnel() {
                        chosen.reply = Some(reply);
                        strike(entry);
                    }
                }
                _ => {}
            }
        }
        // Known only now: a refusal leaves no tunnel to do anything to.
        let tunnel = asked.form == Form::Connect && asked.admitted;
        if tunnel && chosen.reply.as_ref().is_none_or(Reply::opens_tunnel) {
            for entry in &mut self.entries {
                if let Act::Tunnel(act) = entry.fault.act
                    && let Some(mut draw) = draw(entry)
                {
                    act(&entry.with, &mut draw, chosen.effects.get_or_insert_default());
                    strike(entry);
                }
            }
        }
        chosen.labels = labels;
        chosen
    }

    /// Counts a change of the listener for the entries with these labels.
    pub(crate) fn struck(&mut self, labels: &[String]) {
        for entry in &mut self.entries {
            if labels.contains(&entry.label()) {
                entry.struck += 1;
            }
        }
    }

    /// How the listener shall stand, and until when that holds.
    pub(crate) fn on_listener(&self, now: Duration) -> (Standing, Option<Duration>) {
        let mut standing = Standing::OPEN;
        let mut until: Option<Duration> = None;
        for entry in &self.entries {
            let Act::Listener(act) = entry.fault.act else { continue };
            if !entry.armed {
                continue;
            }
            let mut ends = entry.when.next_edge(now);
            if entry.when.in_force(now) {
                let phase: Phase = act(&entry.with, now.saturating_sub(entry.begun()));
                let end = phase.until.map(|end| end + entry.begun());
                ends = [ends, end].into_iter().flatten().min();
                if phase.state != State::Open {
                    standing.faults.push(entry.label());
                }
                standing.state = standing.state.max(phase.state);
                standing.dead |= phase.dead;
            }
            until = [until, ends].into_iter().flatten().min();
        }
        (standing, until)
    }
}

#[cfg(test)]
mod tests {
    use mock_upstreams::Target;
    use proptest::prelude::*;

    use super::super::parse::parse;
    use super::*;
    use crate::draw::Draw;

    fn asked(connection: u64, request: u64) -> Asked {
        Asked {
            connection,
            request,
            form: Form::Connect,
            method: "CONNECT".to_owned(),
            target: Target { host: "echo.mock".to_owned(), port: 80 },
            user: None,
            admitted: true,
            websocket_key: None,
        }
    }

    const PLAN: &str = r#"{"seed": 7, "faults": [
        {"fault": "accept-reset", "when": {"probability": 0.2}},
        {"fault": "reply-late", "with": {"jitter": "1s"}, "when": {"probability": 0.3}},
        {"fault": "garbage", "when": {"probability": 0.3}},
        {"fault": "status-502", "when": {"every": 3}},
        {"fault": "corrupt", "when": {"probability": 0.5}}]}"#;

    fn decisions(plan: &mut Plan, numbers: &[(u64, u64)]) -> Vec<String> {
        let mut decisions: Vec<String> = numbers
            .iter()
            .map(|(connection, request)| {
                let before = plan.on_connection("a", Duration::ZERO, *connection);
                format!(
                    "{connection}.{request} {before:?} {:?}",
                    plan.on_request("a", Duration::ZERO, &asked(*connection, *request))
                )
            })
            .collect();
        decisions.sort();
        decisions
    }

    proptest! {
        #[test]
        fn what_strikes_depends_on_the_numbers_and_not_on_their_order(
            ordered in prop::collection::vec((1_u64..50, 1_u64..4), 1..40),
            seed in any::<u64>(),
        ) {
            let mut shuffled = ordered.clone();
            shuffled.sort_by_key(|numbers| Draw::new(seed, "", "", numbers.0, numbers.1).number());
            let mut plan = parse(PLAN).unwrap();
            let first = decisions(&mut plan, &ordered);
            prop_assert_eq!(first, decisions(&mut plan, &shuffled));
        }
    }

    #[test]
    fn windows_arming_and_filters_gate_a_draw_and_never_shift_it() {
        let struck = |extra: &str| -> Vec<u64> {
            let text =
                format!(r#"{{"seed": 3, "faults": [{{"fault": "cut", "when": {{"probability": 0.5{extra}}}}}]}}"#);
            let mut plan = parse(&text).unwrap();
            let now = Duration::from_secs(5);
            (1..100).filter(|number| !plan.on_request("a", now, &asked(*number, 1)).labels.is_empty()).collect()
        };
        let all = struck("");
        assert!((30..70).contains(&all.len()), "{}", all.len());
        assert_eq!(struck(r#", "from": "5s", "until": "6s""#), all);
        assert!(struck(r#", "from": "6s""#).is_empty());
        let every = all.iter().copied().filter(|number| number % 2 == 0).collect::<Vec<_>>();
        assert_eq!(struck(r#", "every": 2"#), every);
    }

    #[test]
    fn the_first_reply_that_strikes_decides_and_a_refusal_leaves_no_tunnel_to_shape() {
        let mut plan = parse(
            r#"{"faults": [{"fault": "slice"}, {"fault": "reply-late"}, {"fault": "status-502", "when": {"nth": 1}},
                {"fault": "http-1.0"}, {"fault": "reply-late"}]}"#,
        )
        .unwrap();
        let refused = plan.on_request("a", Duration::ZERO, &asked(1, 1));
        assert_eq!(refused.labels, ["reply-late", "status-502", "reply-late@reply-late-2"]);
        assert!(refused.effects.is_none());
        assert_eq!(refused.delay, Duration::from_secs(2));
        let opened = plan.on_request("a", Duration::ZERO, &asked(2, 1));
        assert_eq!(opened.labels, ["reply-late", "http-1.0", "reply-late@reply-late-2", "slice"]);
        assert!(opened.effects.is_some());
    }

    #[test]
    fn whom_the_upstream_does_not_admit_no_fault_lets_in() {
        let mut plan =
            parse(r#"{"faults": [{"fault": "drip"}, {"fault": "latency"}, {"fault": "reply-late"}]}"#).unwrap();
        let chosen = plan.on_request("a", Duration::ZERO, &Asked { admitted: false, ..asked(1, 1) });
        assert!(chosen.reply.is_none() && chosen.effects.is_none());
        assert_eq!(chosen.labels, ["reply-late"]);
    }

    #[test]
    fn a_schedule_begins_when_its_entry_is_armed() {
        let mut plan = parse(r#"{"faults": [{"fault": "die", "with": {"down": "3s"}, "armed": false}]}"#).unwrap();
        assert_eq!(plan.on_listener(Duration::from_secs(60)), (Standing::OPEN, None));
        let before = plan.clone();
        plan.arm("die", true).unwrap();
        plan.stamp(&before, Duration::from_secs(60));
        let (standing, until) = plan.on_listener(Duration::from_secs(61));
        assert_eq!((standing.state, standing.dead, until), (State::Closed, true, Some(Duration::from_secs(63))));
        assert_eq!(plan.on_listener(Duration::from_secs(63)).0, Standing::OPEN);
    }
}
