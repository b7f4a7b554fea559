//! The law `identity`: nobody is served as somebody else.

use loadgen::ActionKind;

use crate::judge::checked::{Case, Checked};
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, JournalEntry, Witnesses};

pub(in crate::judge) const LAW: Law = Law {
    name: "identity",
    text: "Nobody is served as somebody else: a connection to an upstream on which a client has logged in by NTLM or Negotiate carries no \
           request of another one.",
    check: Check::BlackBox(check),
};

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let mut checked = Checked::default();
    // The proxy's own probes bring nobody an answer.
    for (id, entries) in witnesses.journals.by_id() {
        let Some(asked) = witnesses.requests.get(id) else { continue };
        for entry in entries {
            if let Some(name) = &entry.record.served_as {
                checked.add(judge(witnesses, (id, asked), entry, name));
            }
        }
    }
    checked
}

fn judge(
    witnesses: &Witnesses<'_>,
    (id, asked): (&str, &ClientRequest<'_>),
    entry: &JournalEntry<'_>,
    name: &str,
) -> Case {
    // Whoever logs in with some requests only is the same person with the others.
    let logs_in = |action: &loadgen::Action| match &action.kind {
        ActionKind::Http { exchange, .. } => exchange.login.as_ref().is_some_and(|login| login.name() == name),
        _ => false,
    };
    let mut actions = witnesses.client(asked).into_iter().flat_map(|client| client.actions());
    let is_itself = actions.any(|one| logs_in(&one.value().action));
    let text = || format!("{} served {id} as {name}, who is another client", entry.host);
    Case::of((!is_itself).then(|| Violation::found(text(), [asked.line, entry.line])))
}

#[cfg(test)]
mod tests {
    use mock_upstreams::journal::{Event, Record};

    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::What;

    const TWO: &str = r#"{ "name": "two", "story": "One of two clients logs in.", "duration": "3s", "upstreams": [{ "name": "a" }],
        "clients": [{ "name": "ann", "do": ["http:login=negotiate/ann", "http"], "requests": 20, "rate": 10 },
            { "name": "other", "do": "http:login=ntlm/ben", "requests": 10, "rate": 5 },
            { "name": "nobody", "do": "http", "requests": 10, "rate": 5 }] }"#;

    /// Has the upstream serve a request as `name` whose client, by what its ids begin with, was served as another or as nobody.
    fn twin(client: &str, name: &str) -> Twin {
        let mut twin = Twin::of_scenario(&LAW, TWO);
        let wanted = |record: &Record| {
            record.id.as_deref().is_some_and(|id| id.starts_with(client)) && record.served_as.as_deref() != Some(name)
        };
        let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(record)) if wanted(record)));
        if let What::Upstream(Event::Request(record)) = &mut twin.record.trace.lines[at].what {
            record.served_as = Some(name.to_owned());
        }
        twin
    }

    #[test]
    fn fires_where_a_client_is_served_as_another() {
        twin("nobody-", "ann").fires();
        twin("other-", "ann").fires();
    }

    #[test]
    fn who_logs_in_with_some_requests_may_be_known_by_all_of_them() {
        assert_eq!(twin("ann-", "ann").checked().violations, []);
    }

    #[test]
    fn each_login_is_a_case_and_none_is_excused() {
        let checked = Twin::of_scenario(&LAW, &TWO.replace(", \"http\"]", "]")).checked();
        assert_eq!((checked.cases, checked.excused()), (30, 0));
    }
}
