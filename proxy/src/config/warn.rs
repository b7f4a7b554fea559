//! Warns of configurations that are valid but probably not what was meant.

use std::collections::BTreeSet;

use super::{Authentication, Config, Password};

/// The password in the sample configuration that everybody can read.
const SAMPLE_PASSWORD: &str = "Proxy234";

/// Warnings about a configuration that is valid, each as `path: text`.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    [attempts(config), checks(config), statistics(config), hash_kinds(config)]
        .into_iter()
        .flatten()
        .chain(sample_passwords(config))
        .collect()
}

/// Warns if silent upstreams can use up the request's time before the last upstream is tried.
fn attempts(config: &Config) -> Option<String> {
    let usable = config.upstreams.iter().filter(|upstream| !upstream.weight.is_zero()).count();
    let attempts = usable.min(config.failover.max_attempts.get() as usize);
    let policy = config.failover_policy();
    (!policy.fits(usable)).then(|| {
        let show = humantime::format_duration;
        format!(
            "timeouts.request: with {attempts} attempts of up to {} each (connect {} and reply {}), {} is too short to \
             reach the last upstream when the others are silent; attempts will be cut short",
            show(policy.connect_timeout.saturating_add(policy.reply_timeout)),
            show(config.timeouts.connect),
            show(config.timeouts.reply),
            show(config.timeouts.request),
        )
    })
}

fn checks(config: &Config) -> Option<String> {
    let timeout = config.health.timeout;
    let active = config.health.active.as_ref().filter(|active| timeout > active.interval)?;
    let show = humantime::format_duration;
    Some(format!(
        "health_check.timeout_seconds: {} is longer than the {} between checks",
        show(timeout),
        show(active.interval)
    ))
}

/// Warns of a statistics page that nobody may read.
fn statistics(config: &Config) -> Option<String> {
    let open = config.admin.as_ref().is_some_and(|admin| admin.open_to_all);
    let unreadable = config.server.stats_require_auth && config.authentication == Authentication::Off && !open;
    unreadable.then(|| "stats.require_auth: without authentication nobody can read the statistics".to_owned())
}

/// A wrong guess must not tell whose hash is cheap, so it pays for every kind.
fn hash_kinds(config: &Config) -> Option<String> {
    let Authentication::Basic { users, .. } = &config.authentication else { return None };
    let kinds: BTreeSet<_> = users.iter().filter_map(|user| user.password.hash_kind()).collect();
    (kinds.len() > 1).then(|| {
        let kinds: Vec<_> = kinds.iter().map(ToString::to_string).collect();
        format!(
            "authentication.users: the password hashes are of {} kinds ({}), and every wrong password is hashed once \
             for each; give all users hashes of one kind (`proxy hash-password` makes them)",
            kinds.len(),
            kinds.join("; ")
        )
    })
}

fn sample_passwords(config: &Config) -> Vec<String> {
    let users = match &config.authentication {
        Authentication::Basic { users, .. } if !config.server.listen.ip().to_canonical().is_loopback() => {
            users.as_slice()
        }
        _ => &[],
    };
    let sample = |password: &Password| matches!(password, Password::Plain(text) if text.expose() == SAMPLE_PASSWORD);
    let known = users.iter().enumerate().filter(|(_, user)| sample(&user.password));
    known
        .map(|(index, user)| {
            format!(
                "authentication.users[{index}].password: {} has the password of the published sample, on an address \
                 that can be reached from outside",
                user.name
            )
        })
        .collect()
}
