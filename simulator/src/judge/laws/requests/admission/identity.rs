//! The law `identity`: nobody is served as somebody else.

use loadgen::{Action, ActionKind};

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
    if logs_in_as(witnesses, asked, name) {
        return Case::Holds;
    }
    let is_login = |one: &&JournalEntry<'_>| {
        let asked = one.record.id.as_deref().and_then(|id| witnesses.requests.get(id));
        let same_connection = one.record.connection == entry.record.connection && one.line < entry.line;
        same_connection && asked.is_some_and(|asked| logs_in_as(witnesses, asked, name))
    };
    let before = witnesses.journals.at(entry.host).and_then(|journal| journal.requests.iter().rfind(is_login));
    let lines = before.map(|one| one.line).into_iter().chain([asked.line, entry.line]);
    Case::Broken(Violation::found(format!("{} served {id} as {name}, who is another client", entry.host), lines))
}

/// Whether the client that asked logs in as `name`. Whoever does so with some requests only is the same person with the others.
fn logs_in_as(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>, name: &str) -> bool {
    let login = |action: &Action| match &action.kind {
        ActionKind::Http { exchange, .. } => exchange.login.as_ref().is_some_and(|login| login.name() == name),
        _ => false,
    };
    let mut actions = witnesses.client(asked).into_iter().flat_map(|client| client.actions());
    actions.any(|one| login(&one.value().action))
}

#[cfg(test)]
mod tests {
    use mock_upstreams::journal::{Event, Record};

    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::What;

    const LOGINS: &str = r#"{ "name": "logins", "story": "Two of three clients log in.", "duration": "3s", "upstreams": [{ "name": "a" }],
        "clients": [{ "name": "ann", "do": ["http:login=negotiate/ann", "http"], "requests": 20, "rate": 10 },
            { "name": "other", "do": "http:login=ntlm/ben", "requests": 10, "rate": 5 },
            { "name": "nobody", "do": "http", "requests": 10, "rate": 5 }] }"#;

    /// Has a request of `client`, by what its ids begin with, follow on the connection on which `name` has logged in, and be served as
    /// that. Returns the line of the login as well.
    fn twin(client: &str, name: &str) -> (Twin, usize) {
        let mut twin = Twin::of_scenario(&LAW, LOGINS);
        let is_served = |record: &Record| record.served_as.as_deref() == Some(name);
        let login = twin.find(|what| matches!(what, What::Upstream(Event::Request(record)) if is_served(record)));
        let mut requests = twin.record.trace.lines[login..].iter_mut().filter_map(|line| match &mut line.what {
            What::Upstream(Event::Request(record)) => Some(record),
            _ => None,
        });
        let connection = requests.next().unwrap().connection;
        let is_of_client = |record: &Record| record.id.as_deref().is_some_and(|id| id.starts_with(client));
        let follower = requests.find(|record| is_of_client(record) && !is_served(record)).unwrap();
        (follower.connection, follower.served_as) = (connection, Some(name.to_owned()));
        (twin, login)
    }

    #[test]
    fn fires_where_a_client_is_served_as_another_and_shows_the_login() {
        for client in ["nobody-", "other-"] {
            let (twin, login) = twin(client, "ann");
            let found = twin.checked().violations;
            assert_eq!(found.iter().map(|one| one.lines[0]).collect::<Vec<_>>(), [login], "{found:?}");
        }
    }

    #[test]
    fn who_logs_in_with_some_requests_may_be_known_by_all_of_them() {
        assert_eq!(twin("ann-", "ann").0.checked().violations, []);
    }

    #[test]
    fn each_login_is_a_case_and_none_is_excused() {
        let checked = Twin::of_scenario(&LAW, &LOGINS.replace(", \"http\"]", "]")).checked();
        assert_eq!((checked.cases, checked.excused()), (30, 0));
    }
}
