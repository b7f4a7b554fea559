//! The law `outsiders`: whoever comes without good credentials gets nowhere.

use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, Witnesses};

pub(in crate::judge) const LAW: Law = Law {
    name: "outsiders",
    text: "Where the proxy asks for credentials, a request without good ones reaches no upstream and is answered with 407.",
    check: Check::BlackBox(check),
};

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let requests = witnesses.requests.iter();
    let outside = requests.filter(|(_, asked)| witnesses.is_admitted(asked, witnesses.end_of(asked)) == Some(false));
    outside.map(|(id, asked)| judge(witnesses, id, asked)).collect()
}

fn judge(witnesses: &Witnesses<'_>, id: &str, asked: &ClientRequest<'_>) -> Case {
    let broken = |text: String, lines: Vec<usize>| Case::Broken(Violation::found(text, lines));
    if let Some(entry) = witnesses.journals.of(id).first() {
        let text = format!("{} got {id}, whose credentials are not good", entry.host);
        return broken(text, vec![asked.line, entry.line]);
    }
    let (from, until) = (asked.began, witnesses.end_of(asked));
    match asked.result().and_then(|result| result.status) {
        Some(407) => Case::Holds,
        // Whoever comes after the end of accepting may be told so, or nothing.
        _ if !witnesses.reaches_the_proxy(asked) => Case::Holds,
        _ if witnesses.crowded(asked, 0).is_some() => Case::Excused(Excuse::Crowded),
        Some(status @ (401 | 403)) => {
            broken(format!("{id} was refused with {status} and not with 407"), vec![asked.last_line()])
        }
        Some(status) => broken(
            format!("{id} was answered with {status}, though its credentials are not good"),
            vec![asked.last_line()],
        ),
        None => {
            let disturbances = &witnesses.disturbances;
            let excuse =
                disturbances.of_client(asked.client, from, until).or_else(|| disturbances.of_proxy(from, until));
            match excuse.or_else(|| disturbances.stopped().map(|_| Excuse::ProxyStopping)) {
                Some(why) => Case::Excused(why),
                None => broken(format!("{id} was not answered at all"), vec![asked.last_line()]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mock_upstreams::journal::Event;

    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ClientEvent, What};

    const OUTSIDE: &str = r#"{
        "name": "outside", "story": "Somebody guesses a password.", "duration": "2s",
        "proxy": { "authentication": { "enabled": true, "users": [{ "username": "alice", "password": "correct-horse" }] } },
        "upstreams": [{ "name": "a" }],
        "clients": [{ "name": "in", "do": "echo", "requests": 2, "users": ["alice:correct-horse"] },
            { "name": "out", "do": "echo", "requests": 2, "users": ["alice:guessing"] }]
    }"#;

    #[test]
    fn fires_where_an_outsider_is_let_in_or_told_something_else() {
        let mut twin = Twin::of_scenario(&LAW, OUTSIDE);
        let at = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(one)) if one.id.starts_with("out-")));
        if let What::Client(ClientEvent::Ended(one)) = &mut twin.record.trace.lines[at].what {
            one.status = Some(502);
        }
        twin.fires();
        let mut twin = Twin::of_scenario(&LAW, OUTSIDE);
        let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
        if let What::Upstream(Event::Request(record)) = &mut twin.record.trace.lines[at].what {
            record.id = Some("out-0".to_owned());
        }
        twin.fires();
    }

    #[test]
    fn one_that_is_refused_in_another_way_is_not_said_to_be_let_in() {
        let mut twin = Twin::of_scenario(&LAW, OUTSIDE);
        let at = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(one)) if one.id == "out-0"));
        let mut said_of = |status: u16| {
            if let What::Client(ClientEvent::Ended(one)) = &mut twin.record.trace.lines[at].what {
                one.status = Some(status);
            }
            twin.checked().violations.remove(0).text
        };
        assert_eq!(said_of(401), "out-0 was refused with 401 and not with 407");
        assert_eq!(said_of(403), "out-0 was refused with 403 and not with 407");
        assert_eq!(said_of(200), "out-0 was answered with 200, though its credentials are not good");
    }

    #[test]
    fn one_for_whom_there_is_no_room_is_told_so_instead() {
        let full = r#"{ "name": "full", "story": "More come than the proxy serves.", "duration": "5s",
            "proxy": { "limits": { "max_connections": 2 },
                "authentication": { "enabled": true, "users": [{ "username": "alice", "password": "correct-horse" }] } }, "upstreams": [{ "name": "a" }],
            "clients": [{ "name": "herd", "do": "hold:for=3s", "requests": 2, "rate": 1000, "users": ["alice:correct-horse"] },
                { "name": "late", "do": "echo", "requests": 2, "from": "1s", "users": ["alice:guessing"] }] }"#;
        let mut twin = Twin::of_scenario(&LAW, full);
        twin.excuses(Excuse::Crowded);
        twin.scenario.proxy["limits"]["max_connections"] = serde_json::json!(20);
        twin.fires();
    }
}
