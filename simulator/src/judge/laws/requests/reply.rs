//! The law `reply`: an answer that takes longer than the reply time-out reaches no client.

use std::time::Duration;

use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, Harm, Witnesses};

pub(in crate::judge) const LAW: Law = Law {
    name: "reply",
    text: "What a target answers only when the reply time-out is over reaches no client: the time-out in force counts.",
    check: Check::BlackBox(check),
};

/// How much longer than the time-out a target has to take.
const MARGIN: Duration = Duration::from_millis(500);

fn check(witnesses: &Witnesses<'_>) -> Checked {
    witnesses.requests.iter().filter_map(|(id, asked)| judge(witnesses, id, asked)).collect()
}

/// `None` for a target that may answer in time.
fn judge(witnesses: &Witnesses<'_>, id: &str, asked: &ClientRequest<'_>) -> Option<Case> {
    let takes = witnesses.reply_of(asked)?;
    let configs = witnesses.configurations.during(asked.began, witnesses.end_of(asked));
    let most = configs.map(|config| config.timeouts.reply).max()?;
    if takes <= most + MARGIN + witnesses.tolerance {
        return None;
    }
    if asked.result().is_none_or(|result| result.failure.is_some()) {
        return Some(Case::Holds);
    }
    // A fault may have answered in the target's place.
    let struck = witnesses.journals.of(id).iter().any(|one| witnesses.disturbances.harm(one) != Harm::Nothing);
    let text = || format!("{id} got an answer for which its target takes {takes:?}; {most:?} are allowed");
    Some(match struck {
        true => Case::Excused(Excuse::RequestStruck),
        false => Case::Broken(Violation::found(text(), [asked.line, asked.last_line()])),
    })
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ClientEvent, What};

    #[test]
    fn fires_where_a_client_gets_what_came_too_late() {
        let slow = r#"{ "name": "slow", "story": "A target takes longer than a reply may.", "duration": "4s",
            "proxy": { "timeouts": { "reply": "1s" } }, "upstreams": [{ "name": "a" }],
            "clients": [{ "name": "client", "do": "http:target={id}.d3000.slow.mock:80", "requests": 2, "rate": 2 }] }"#;
        let mut twin = Twin::of_scenario(&LAW, slow);
        let at = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(_))));
        if let What::Client(ClientEvent::Ended(result)) = &mut twin.record.trace.lines[at].what {
            result.failure = None;
        }
        twin.fires();
    }
}
