//! The law `idle`: a tunnel through which nothing goes is ended at its time-out, neither later nor sooner; one whose client has ended its
//! side, no later than at that of half-closed ones.

use std::time::Duration;

use crate::judge::by_hand;
use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, Harm, Witnesses};

pub(in crate::judge) const LAW: Law = Law {
    name: "idle",
    text: "A tunnel through which nothing goes is ended once the idle time-out is over, and not before; one whose client has ended its \
           side, by the end of the half-closed time-out.",
    check: Check::BlackBox(check),
};

/// How many times a packet may be on its way from the answer to CONNECT to the news of the tunnel's end.
const ROUNDS: u32 = 8;
/// How much later the end may come: the first block has to get through.
const SLACK: Duration = Duration::from_secs(2);

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let silent = |(id, asked): (&&str, &ClientRequest<'_>)| judge(witnesses, id, asked);
    let half_closed = |(id, asked): (&&str, &ClientRequest<'_>)| judge_half_closed(witnesses, id, asked);
    let requests = || witnesses.requests.iter();
    requests().filter_map(silent).chain(requests().filter_map(half_closed)).collect()
}

/// `None` for a tunnel that did not stand, or whose client need not be silent for longer than the time-out.
fn judge(witnesses: &Witnesses<'_>, id: &str, asked: &ClientRequest<'_>) -> Option<Case> {
    let pause = witnesses.pause_of(asked)?;
    let (from, until) = (asked.began, witnesses.end_of(asked));
    let limits = || witnesses.configurations.during(from, until).map(|config| config.timeouts.idle_tunnel);
    let (least, most) = (limits().min()?, limits().max()?);
    let margin = SLACK + witnesses.one_way() * ROUNDS + witnesses.resending() + witnesses.tolerance;
    let result = asked.result().filter(|result| result.status == Some(200))?;
    if pause <= most + margin {
        return None;
    }
    let phases = &result.phases;
    let stood = [phases.connect_us, phases.reply_us].into_iter().flatten().map(Duration::from_micros).sum::<Duration>();
    let lasted = until.saturating_sub(from + stood);
    if lasted <= most + margin && lasted + witnesses.tolerance >= least {
        return Some(Case::Holds);
    }
    let entries = witnesses.journals.of(id);
    // The law `by-hand` judges the tunnels that an operator closes.
    if by_hand::closed(witnesses, asked, entries).is_some() {
        return None;
    }
    let disturbances = &witnesses.disturbances;
    let excuse = excuse(witnesses, asked, from);
    let struck = entries.iter().any(|one| disturbances.harm(one) != Harm::Nothing);
    let excuse = excuse.or_else(|| struck.then_some(Excuse::RequestStruck));
    let hosts = || witnesses.scenario.upstreams.iter().map(|one| one.name.as_str());
    let excuse = excuse.or_else(|| hosts().find_map(|host| disturbances.of_upstream(host, from, until)));
    let text = || format!("the silent tunnel of {id} lasted {lasted:?}; its time-out is {least:?} to {most:?}");
    Some(match excuse {
        Some(why) => Case::Excused(why),
        None => Case::Broken(Violation::found(text(), [asked.line, asked.last_line()])),
    })
}

/// `None` for a tunnel whose client had not ended its side, or that its other end closed before the time-out. Nothing that is done to an
/// upstream excuses: the client has had all that it asked for, and is told by the proxy alone.
fn judge_half_closed(witnesses: &Witnesses<'_>, id: &str, asked: &ClientRequest<'_>) -> Option<Case> {
    let (from, until) = (asked.half_closed()?, witnesses.end_of(asked));
    let limits = || {
        witnesses.configurations.during(from, until).map(|config| match witnesses.subject.tells() {
            true => config.timeouts.half_closed,
            // Others have one time-out for silent tunnels of both kinds.
            false => config.timeouts.idle_tunnel,
        })
    };
    let (least, most) = (limits().min()?, limits().max()?);
    let margin = SLACK + witnesses.one_way() * ROUNDS + witnesses.resending() + witnesses.tolerance;
    let lasted = until.saturating_sub(from);
    if lasted + witnesses.tolerance < least {
        return None;
    }
    if lasted <= most + margin {
        return Some(Case::Holds);
    }
    let text = || format!("the half-closed tunnel of {id} lasted {lasted:?}; its time-out is {least:?} to {most:?}");
    Some(match excuse(witnesses, asked, from) {
        Some(why) => Case::Excused(why),
        None => Case::Broken(Violation::found(text(), [asked.line, asked.last_line()])),
    })
}

/// Why the news of a tunnel's end may not have reached its client in time.
fn excuse(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>, from: Duration) -> Option<Excuse> {
    let (until, disturbances) = (witnesses.end_of(asked), &witnesses.disturbances);
    // A reset that is lost is not sent again.
    let excuse = witnesses.loses_packets().then_some(Excuse::ClientCutOff);
    let excuse = excuse.or_else(|| disturbances.of_client(asked.client, from, until));
    let excuse = excuse.or_else(|| disturbances.of_proxy(from, until));
    excuse.or_else(|| disturbances.stopped().filter(|at| *at <= until).map(|_| Excuse::ProxyStopping))
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ClientEvent, What};

    fn silent(timeline: &str) -> String {
        format!(
            r#"{{ "name": "silent", "story": "Clients say nothing.", "duration": "6s",
            "proxy": {{ "timeouts": {{ "idle_tunnel": "4s" }} }}, "upstreams": [{{ "name": "a" }}],
            "clients": [{{ "name": "client", "do": "hold:for=20s,every=20s", "requests": 4, "rate": 2 }}],
            "timeline": [{timeline}] }}"#
        )
    }

    #[test]
    fn fires_where_a_silent_tunnel_ends_too_late_or_too_soon() {
        for by in [3_000_000, -2_000_000_i64] {
            let mut twin = Twin::of_scenario(&LAW, &silent(""));
            let at = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(_))));
            let line = &mut twin.record.trace.lines[at];
            line.at_us = line.at_us.saturating_add_signed(by);
            twin.fires();
        }
    }

    fn half_closed(timeline: &str) -> String {
        format!(
            r#"{{ "name": "half-closed", "story": "The other end stays open.", "duration": "12s",
            "proxy": {{ "timeouts": {{ "half_closed": "3s" }} }},
            "upstreams": [{{ "name": "a", "plan": {{ "faults": [{{ "fault": "close-late", "with": {{ "delay": "9s" }} }}] }} }}],
            "clients": [{{ "name": "client", "do": "echo:bytes=100", "requests": 4, "rate": 2 }}],
            "timeline": [{timeline}] }}"#
        )
    }

    #[test]
    fn fires_where_a_half_closed_tunnel_stays() {
        let mut twin = Twin::of_scenario(&LAW, &half_closed(""));
        assert_eq!(twin.checked().cases, 4, "each was ended at its time-out");
        let at = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(_))));
        twin.record.trace.lines[at].at_us += 3_000_000;
        twin.fires();
    }

    #[test]
    fn a_client_that_is_cut_off_hears_of_no_end() {
        let cut = r#"{ "at": "2500ms", "do": "partition", "between": ["client", "proxy"] }"#;
        Twin::of_scenario(&LAW, &half_closed(cut)).excuses(Excuse::ClientCutOff);
    }

    #[test]
    fn what_was_done_to_its_upstream_excuses() {
        let killed = silent(r#"{ "at": "3s", "do": "crash", "host": "a" }"#);
        Twin::of_scenario(&LAW, &killed).excuses(Excuse::UpstreamKilled);
    }
}
