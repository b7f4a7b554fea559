//! The law `limit`: a proxy never serves more connections at once than it allows.

use std::time::Duration;

use crate::judge::checked::{Case, Checked};
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, Witnesses};

pub(in crate::judge) const LAW: Law = Law {
    name: "limit",
    text: "There are never more tunnels open than the proxy serves connections at once.",
    check: Check::BlackBox(check),
};

/// One case for each tunnel: how many were open when it had been opened.
fn check(witnesses: &Witnesses<'_>) -> Checked {
    let Some(crowd) = &witnesses.crowd else { return Checked::default() };
    let open = witnesses.requests.values().filter_map(|asked| open(witnesses, asked));
    let open: Vec<(Duration, Duration, usize)> = open.collect();
    let case = |(opened, _, line): &(Duration, Duration, usize)| {
        let there = open.iter().filter(|(began, ended, _)| began <= opened && ended > opened).count();
        let most = crowd.most();
        let text = || format!("{there} tunnels are open, though the proxy serves only {most} connections at once");
        Case::of((there > most).then(|| Violation::found(text(), [*line])))
    };
    open.iter().map(case).collect()
}

/// From when to when a tunnel was open without doubt: neither had its proxy closed it already, nor was its proxy killed.
fn open(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>) -> Option<(Duration, Duration, usize)> {
    let end = asked.end.as_ref()?;
    let result = end.result;
    let phases = &result.phases;
    let opened = asked.began + Duration::from_micros(phases.connect_us? + phases.reply_us?);
    let surely = end.at.saturating_sub(witnesses.one_way() * 2);
    let whole = asked.is_tunnel() && result.failure.is_none() && result.status == Some(200);
    let killed = witnesses.disturbances.of_proxy(asked.began, end.at).is_some();
    (whole && !killed && surely > opened).then_some((opened, surely, end.line))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::LAW;
    use crate::judge::laws::twin::Twin;

    #[test]
    fn fires_where_more_tunnels_are_open_than_may_be() {
        let mut twin = Twin::of_scenario(
            &LAW,
            r#"{ "name": "few", "story": "Some tunnels are held.", "duration": "4s", "proxy": { "limits": { "max_connections": 6 } },
            "upstreams": [{ "name": "a" }], "clients": [{ "name": "client", "do": "hold:for=2s", "requests": 6, "rate": 100 }] }"#,
        );
        twin.scenario.proxy["limits"]["max_connections"] = json!(5);
        twin.fires();
    }
}
