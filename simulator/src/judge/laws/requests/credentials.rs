//! The law `credentials`: no password appears in what the proxy tells, and no upstream gets a user that is not its own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mock_upstreams::journal::Event;
use proxy::config::{Authentication, Password};

use crate::judge::history::History;
use crate::judge::laws::law::Law;
use crate::judge::violation::Violation;
use crate::record::What;
use crate::scenario::Written;

pub(in crate::judge) const LAW: Law = Law {
    name: "credentials",
    text: "No password appears in what the proxy tells, and no upstream gets a user that is not its own.",
    check,
};

/// Shorter passwords are not looked for, since they appear by accident.
const SHORTEST: usize = 6;

fn check(history: &History<'_>) -> Vec<Violation> {
    let scenario = history.scenario;
    let pairs = scenario.clients.iter().flat_map(|client| client.users.iter().map(Written::text));
    let pairs = pairs.chain(scenario.upstreams.iter().filter_map(|upstream| upstream.auth.as_deref()));
    let mut secrets: Vec<String> = Vec::new();
    for pair in pairs {
        secrets.extend(pair.split_once(':').map(|(_, password)| password.to_owned()));
        secrets.push(STANDARD.encode(pair));
    }
    if let Authentication::Basic { users, .. } = &history.config.authentication {
        for user in users {
            let (Password::Plain(secret) | Password::Bcrypt(secret) | Password::Argon2(secret)) = &user.password;
            secrets.push(secret.expose().to_owned());
        }
    }
    secrets.retain(|secret| secret.len() >= SHORTEST);
    let mut violations = Vec::new();
    for (index, line) in history.lines.iter().enumerate() {
        match &line.what {
            What::Proxy(_) if !secrets.is_empty() => {
                let text = line.to_json();
                if secrets.iter().any(|secret| text.contains(secret.as_str())) {
                    violations.push(Violation::found("the proxy tells a password", [index]));
                }
            }
            What::Upstream(Event::Request(record)) => {
                let upstream = scenario.upstreams.iter().find(|one| one.name == line.host.as_str());
                let own = history.config.upstreams.iter().filter(|one| one.host == line.host.as_str());
                let own = own
                    .filter_map(|one| one.credentials.as_ref())
                    .any(|one| Some(&one.username) == record.user.as_ref());
                let asked = upstream.and_then(|one| one.auth.as_deref()).and_then(|pair| pair.split_once(':'));
                let asked = asked.is_some_and(|(name, _)| record.user.as_deref() == Some(name));
                if record.user.is_some() && !own && !asked {
                    let text = format!("{} was shown the user {:?}, who is not its own", line.host, record.user);
                    violations.push(Violation::found(text, [index]));
                }
            }
            _ => {}
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use mock_upstreams::journal::Event;

    use crate::judge::laws::twin::Twin;
    use crate::record::{ProxyEvent, What};

    #[test]
    fn fires_on_a_password_in_an_event() {
        let mut twin = Twin::of(&LAW);
        twin.scenario.clients[0].users = serde_json::from_str(r#"["alice:hunter22"]"#).unwrap();
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
        if let What::Proxy(ProxyEvent::Finished(finished)) = &mut twin.record.trace.lines[at].what {
            finished.target = "hunter22.echo.mock:80".to_owned();
        }
        twin.fires();
    }

    #[test]
    fn fires_where_an_upstream_gets_a_clients_name() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
        if let What::Upstream(Event::Request(record)) = &mut twin.record.trace.lines[at].what {
            record.user = Some("alice".to_owned());
        }
        twin.fires();
    }
}
