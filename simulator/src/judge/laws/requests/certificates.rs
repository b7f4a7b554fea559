//! The law `certificates`: no request goes to who has shown a wrong certificate.

use crate::judge::checked::{Case, Checked};
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{Connection, JournalEntry, Witnesses};

pub(in crate::judge) const LAW: Law = Law {
    name: "certificates",
    text: "No request goes over a connection on which the upstream has shown a wrong certificate.",
    check: Check::BlackBox(check),
};

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let journals = || witnesses.journals.by_host.values();
    let shown = journals().flat_map(|journal| &journal.connections).filter(|one| Connection::certificate_is_wrong(one));
    let asked = journals().flat_map(|journal| &journal.requests).filter(|one| one.certificate_is_wrong);
    shown.map(|_| Case::Holds).chain(asked.map(broken)).collect()
}

fn broken(entry: &JournalEntry<'_>) -> Case {
    let text = format!("{} has shown a wrong certificate and was asked for {}", entry.host, entry.record.target);
    Case::Broken(Violation::found(text, [entry.line]))
}

#[cfg(test)]
mod tests {
    use mock_upstreams::journal::Event;

    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::{Line, What};

    #[test]
    fn fires_where_a_request_goes_to_who_has_shown_another_name() {
        let mut twin = Twin::of_scenario(
            &LAW,
            r#"{ "name": "other-name", "story": "One upstream shows a certificate for another name for a second.", "duration": "4s",
            "upstreams": [{ "name": "a", "tls": true,
                "plan": { "faults": [{ "fault": "certificate-other-name", "when": { "until": "1s" } }] } }, { "name": "b" }],
            "clients": [{ "name": "client", "do": "echo", "requests": 20, "rate": 10 }] }"#,
        );
        let at = twin.find(|what| matches!(what, What::Upstream(Event::Struck { .. })));
        let Line { at_us, host, what: What::Upstream(Event::Struck { connection, .. }) } =
            twin.record.trace.lines[at].clone()
        else {
            panic!("no fault struck")
        };
        let is_request = |what: &What| matches!(what, What::Upstream(Event::Request(_)));
        let mut what = twin.record.trace.lines[twin.find(is_request)].what.clone();
        if let What::Upstream(Event::Request(record)) = &mut what {
            record.connection = connection;
        }
        twin.record.trace.lines.insert(at + 1, Line { at_us, host, what });
        twin.fires();
    }
}
