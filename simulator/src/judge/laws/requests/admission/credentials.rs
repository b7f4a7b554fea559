//! The law `credentials`: no password appears in what the proxy tells.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proxy::config::{Authentication, Password};

use crate::judge::checked::{Case, Checked};
use crate::judge::history::History;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::record::What;
use crate::scenario::Written;

pub(in crate::judge) const LAW: Law = Law {
    name: "credentials",
    text: "No password appears in what the proxy tells, neither as it is nor as it is sent.",
    check: Check::Told(check),
};

/// Shorter passwords are not looked for, since they appear by accident.
const SHORTEST: usize = 6;

fn check(history: &History<'_>) -> Checked {
    let secrets = secrets(history);
    if secrets.is_empty() {
        return Checked::default();
    }
    let told = history.lines.iter().enumerate().filter(|(_, line)| matches!(line.what, What::Proxy(_)));
    told.map(|(place, line)| {
        let text = line.to_json();
        let tells = secrets.iter().any(|secret| text.contains(secret.as_str()));
        Case::of(tells.then(|| Violation::found("the proxy tells a password", [place])))
    })
    .collect()
}

fn secrets(history: &History<'_>) -> Vec<String> {
    let scenario = history.scenario;
    let pairs = scenario.clients.iter().flat_map(|client| client.users.iter().map(Written::text));
    let pairs = pairs.chain(scenario.upstreams.iter().filter_map(|upstream| upstream.auth.as_deref()));
    let mut secrets: Vec<String> = Vec::new();
    for pair in pairs {
        secrets.extend(pair.split_once(':').map(|(_, password)| password.to_owned()));
        secrets.push(STANDARD.encode(pair));
    }
    for (_, config) in history.witnesses.configurations.given() {
        if let Authentication::Basic { users, .. } = &config.authentication {
            for user in users {
                let (Password::Plain(secret) | Password::Bcrypt(secret) | Password::Argon2(secret)) = &user.password;
                secrets.push(secret.expose().to_owned());
            }
        }
    }
    secrets.retain(|secret| secret.len() >= SHORTEST);
    secrets.sort();
    secrets.dedup();
    secrets
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ProxyEvent, What};

    #[test]
    fn fires_on_a_password_in_an_event() {
        let mut twin = Twin::of_scenario(
            &LAW,
            r#"{ "name": "x", "story": "x", "duration": "1s", "upstreams": [{ "name": "a" }],
            "clients": [{ "name": "c", "do": "echo", "requests": 1, "users": ["alice:hunter22"] }] }"#,
        );
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
        if let What::Proxy(ProxyEvent::Finished(finished)) = &mut twin.record.trace.lines[at].what {
            finished.target = "hunter22.echo.mock:80".to_owned();
        }
        twin.fires();
    }
}
