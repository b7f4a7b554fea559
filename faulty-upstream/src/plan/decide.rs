//! Decides which faults strike a connection, a request and the listener.

use std::time::Duration;

use mock_upstreams::{Form, ProxyRequest};

use super::entries::Plan;
use super::entry::PlanEntry;
use crate::effect::handshake::Handshake;
use crate::effect::listener::{ListenerOrder, ListenerPhase, State};
use crate::effect::reply::Reply;
use crate::effect::tunnel::TunnelEffects;
use crate::fault::{Action, Arrival};

/// What the faults of a plan do to one request.
#[derive(Debug, Default)]
pub(crate) struct RequestFaults {
    /// How much later it is answered.
    pub(crate) delay: Duration,
    /// The reply that replaces the good one.
    pub(crate) reply: Option<Reply>,
    /// What is done to the bytes of its tunnel.
    pub(crate) effects: Option<TunnelEffects>,
    /// The faults that strike, as the journal names them.
    pub(crate) labels: Vec<String>,
}

impl Plan {
    /// Decides about a connection before a byte of it is read. Returns the label and the reply of the first entry that
    /// strikes.
    pub(crate) fn on_connection(&mut self, upstream: &str, now: Duration, connection: u64) -> Option<(String, Reply)> {
        let seed = self.seed;
        for entry in &mut self.entries {
            let Action::Connection(act) = entry.fault.action else { continue };
            if let Some(mut draw) = entry.strikes(seed, upstream, now, connection, 0) {
                entry.struck += 1;
                return Some((entry.label(), act(&entry.with, &mut draw)));
            }
        }
        None
    }

    /// Decides about the TLS handshake of a connection. Returns the label and the effect of the first entry that strikes.
    pub(crate) fn on_handshake(
        &mut self,
        upstream: &str,
        now: Duration,
        connection: u64,
    ) -> Option<(String, Handshake)> {
        let seed = self.seed;
        for entry in &mut self.entries {
            let Action::Handshake(act) = entry.fault.action else { continue };
            if let Some(mut draw) = entry.strikes(seed, upstream, now, connection, 0) {
                entry.struck += 1;
                return Some((entry.label(), act(&entry.with, &mut draw)));
            }
        }
        None
    }

    /// Decides about a request.
    pub(crate) fn on_request(&mut self, upstream: &str, now: Duration, request: &ProxyRequest) -> RequestFaults {
        let mut faults = RequestFaults::default();
        let seed = self.seed;
        let draw = |entry: &PlanEntry| {
            let included = entry.filter.matches(request);
            included.then(|| entry.strikes(seed, upstream, now, request.connection, request.request)).flatten()
        };
        let mut labels = Vec::new();
        let mut strike = |entry: &mut PlanEntry| {
            entry.struck += 1;
            labels.push(entry.label());
        };
        for entry in &mut self.entries {
            let Some(mut draw) = draw(entry) else { continue };
            match entry.fault.action {
                Action::Delay(act) => {
                    let arrival = Arrival {
                        since_in_force: now.saturating_sub(entry.in_force_since()),
                        connection: request.connection,
                    };
                    faults.delay += act(&entry.with, &arrival, &mut draw);
                    strike(entry);
                }
                Action::Reply(requests, act) if faults.reply.is_none() && requests.include(request) => {
                    let reply = act(&entry.with, request, &mut draw);
                    // No fault opens a tunnel to a client without the right credentials.
                    if request.admitted || !reply.opens_tunnel() {
                        faults.reply = Some(reply);
                        strike(entry);
                    }
                }
                _ => {}
            }
        }
        // Tunnel faults come last, since a reply that refuses leaves no tunnel.
        let tunnel = request.form == Form::Connect && request.admitted;
        if tunnel && faults.reply.as_ref().is_none_or(Reply::opens_tunnel) {
            for entry in &mut self.entries {
                if let Action::Tunnel(act) = entry.fault.action
                    && let Some(mut draw) = draw(entry)
                {
                    act(&entry.with, &mut draw, faults.effects.get_or_insert_default());
                    strike(entry);
                }
            }
        }
        faults.labels = labels;
        faults
    }

    /// Adds one to the counters of the entries with these labels.
    pub(crate) fn count_strikes(&mut self, labels: &[String]) {
        for entry in &mut self.entries {
            if labels.contains(&entry.label()) {
                entry.struck += 1;
            }
        }
    }

    /// Decides about the listener. Returns the order, and the time at which it may change.
    pub(crate) fn on_listener(&self, now: Duration) -> (ListenerOrder, Option<Duration>) {
        let mut order = ListenerOrder::OPEN;
        let mut until: Option<Duration> = None;
        for entry in &self.entries {
            let Action::Listener(act) = entry.fault.action else { continue };
            if !entry.armed {
                continue;
            }
            let mut ends = entry.when.next_edge(now);
            if entry.when.in_force(now) {
                let phase: ListenerPhase = act(&entry.with, now.saturating_sub(entry.in_force_since()));
                let end = phase.until.map(|end| end + entry.in_force_since());
                ends = [ends, end].into_iter().flatten().min();
                if phase.state != State::Open {
                    order.faults.push(entry.label());
                }
                order.state = order.state.max(phase.state);
                order.dead |= phase.dead;
            }
            until = [until, ends].into_iter().flatten().min();
        }
        (order, until)
    }
}

#[cfg(test)]
mod tests {
    use mock_upstreams::Target;
    use proptest::prelude::*;

    use super::super::parse::parse;
    use super::*;
    use crate::draw::Draw;

    fn request_numbered(connection: u64, request: u64) -> ProxyRequest {
        ProxyRequest {
            connection,
            request,
            form: Form::Connect,
            method: "CONNECT".to_owned(),
            target: Target { host: "echo.mock".to_owned(), port: 80 },
            user: None,
            served_as: None,
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
                    plan.on_request("a", Duration::ZERO, &request_numbered(*connection, *request))
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
            (1..100)
                .filter(|number| !plan.on_request("a", now, &request_numbered(*number, 1)).labels.is_empty())
                .collect()
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
        let refused = plan.on_request("a", Duration::ZERO, &request_numbered(1, 1));
        assert_eq!(refused.labels, ["reply-late", "status-502", "reply-late@reply-late-2"]);
        assert!(refused.effects.is_none());
        assert_eq!(refused.delay, Duration::from_secs(2));
        let opened = plan.on_request("a", Duration::ZERO, &request_numbered(2, 1));
        assert_eq!(opened.labels, ["reply-late", "http-1.0", "reply-late@reply-late-2", "slice"]);
        assert!(opened.effects.is_some());
    }

    #[test]
    fn no_fault_opens_a_tunnel_without_the_right_credentials() {
        let mut plan =
            parse(r#"{"faults": [{"fault": "drip"}, {"fault": "latency"}, {"fault": "reply-late"}]}"#).unwrap();
        let faults = plan.on_request("a", Duration::ZERO, &ProxyRequest { admitted: false, ..request_numbered(1, 1) });
        assert!(faults.reply.is_none() && faults.effects.is_none());
        assert_eq!(faults.labels, ["reply-late"]);
    }

    #[test]
    fn a_schedule_begins_when_its_entry_is_armed() {
        let mut plan = parse(r#"{"faults": [{"fault": "die", "with": {"down": "3s"}, "armed": false}]}"#).unwrap();
        assert_eq!(plan.on_listener(Duration::from_secs(60)), (ListenerOrder::OPEN, None));
        let before = plan.clone();
        plan.arm("die", true).unwrap();
        plan.stamp_armed(&before, Duration::from_secs(60));
        let (order, until) = plan.on_listener(Duration::from_secs(61));
        assert_eq!((order.state, order.dead, until), (State::Closed, true, Some(Duration::from_secs(63))));
        assert_eq!(plan.on_listener(Duration::from_secs(63)).0, ListenerOrder::OPEN);
    }
}
