//! Requests of a day become clients of a scenario: those that do the same are one client, with the times at which each began.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::plan::dead_zone;
use crate::incident::settings::{NOBODY, PASSWORD};
use crate::scenario::Span;

/// The most clients. Where there would be more, sizes and times are rounded more.
const MOST_CLIENTS: usize = 96;
/// The most entries of a client's list of users. One of them is drawn for each request, so an entry may stand there several times.
const MOST_USERS: u64 = 50;
/// The most bytes that a request moves each way in a replay.
pub(in crate::incident) const MOST_BYTES: u64 = 1 << 20;
/// A tunnel that was open for less is one that moves its bytes and ends.
const SHORT: Duration = Duration::from_millis(500);
/// Blocks that a held tunnel echoes.
const BLOCKS: u32 = 5;
/// How fine times are rounded, in doublings: how many connections are open at once depends on them.
const FINEST: f64 = 0.125;
/// How long a client waits: longer than the proxy makes anybody wait.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a request did. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::incident) enum Does {
    /// A CONNECT.
    Tunnel {
        /// From the client.
        up: u64,
        /// To the client.
        down: u64,
        /// How long it was open.
        open: Duration,
    },
    /// Plain HTTP.
    Plain {
        /// Its method.
        method: &'static str,
        /// Of its body.
        up: u64,
        /// Of the response's body.
        down: u64,
    },
    /// It asked for a target that failed through every upstream.
    Dead {
        /// By CONNECT.
        tunnel: bool,
        /// How it failed.
        failure: &'static str,
        /// Which target, if it is one of those that are told apart.
        target: Option<u32>,
    },
    /// It was turned away for its credentials: it had none, or wrong ones.
    Outsider {
        /// It had some.
        wrong: bool,
    },
    /// Its client went away before it was answered.
    Left {
        /// After so long.
        after: Duration,
    },
}

/// A request of the day.
#[derive(Clone, Copy, Debug)]
pub(in crate::incident) struct Asked {
    /// When it began.
    pub at: Duration,
    /// What it did.
    pub does: Does,
    /// The place of its user in the list of users.
    pub user: Option<u32>,
}

/// Names that stand in actions and clients.
#[derive(Clone, Copy, Debug)]
pub(in crate::incident) struct NamesOf<'a> {
    /// The users, by their replaced names.
    pub users: &'a [String],
    /// Targets that failed through every upstream, by theirs.
    pub targets: &'a [String],
}

/// The clients of a scenario that make these requests.
pub(in crate::incident) fn clients(mut all: Vec<Asked>, names: NamesOf<'_>) -> Vec<Json> {
    all.sort_by_key(|one| one.at);
    // The exponents of two to which times are rounded are multiples of this, and those of sizes of as many wholes.
    let mut coarse = FINEST;
    let groups = loop {
        let mut groups: BTreeMap<Does, Vec<&Asked>> = BTreeMap::new();
        for one in &all {
            groups.entry(one.does.rounded(coarse)).or_default().push(one);
        }
        if groups.len() <= MOST_CLIENTS || coarse >= 32.0 {
            break groups;
        }
        coarse *= 2.0;
    };
    let client = |(number, (does, requests)): (usize, (Does, Vec<&Asked>))| client(number, does, &requests, names);
    (1..).zip(groups).map(client).collect()
}

fn client(number: usize, does: Does, requests: &[&Asked], names: NamesOf<'_>) -> Json {
    let arrivals: Vec<Span> = requests.iter().map(|one| Span::from(milliseconds(one.at))).collect();
    let timeout = match does {
        Does::Left { after } => after.max(Duration::from_millis(1)),
        _ => PATIENCE,
    };
    let mut client = json!({
        "name": format!("client-{number}"),
        "do": action(does, names.targets),
        "arrivals": arrivals,
        "timeout": Span::from(timeout),
    });
    let users = match does {
        Does::Outsider { wrong: true } => vec![format!("{NOBODY}:wrong")],
        Does::Outsider { wrong: false } => Vec::new(),
        _ => users(requests, names.users),
    };
    if !users.is_empty() {
        client["users"] = json!(users);
    }
    client
}

/// Whom requests come as, each as often as its share asks for.
fn users(requests: &[&Asked], names: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let found = requests.iter().filter_map(|one| names.get(usize::try_from(one.user?).ok()?));
    found.for_each(|name| *counts.entry(name).or_default() += 1);
    let all: u64 = counts.values().sum();
    let mut entries = Vec::new();
    for (name, count) in counts {
        let times = if all <= MOST_USERS { count } else { (count * MOST_USERS / all).max(1) };
        entries.extend((0..times).map(|_| format!("{name}:{PASSWORD}")));
    }
    entries
}

/// In loadgen's notation.
fn action(does: Does, targets: &[String]) -> String {
    match does {
        Does::Tunnel { up, down, open } if open >= SHORT => {
            let bytes = (up.max(down) / u64::from(BLOCKS)).clamp(1, 65_536);
            let every = humantime::format_duration(milliseconds(open / (BLOCKS - 1)));
            format!("hold:for={},every={every},bytes={bytes}", humantime::format_duration(milliseconds(open)))
        }
        Does::Tunnel { up: 0, down: 0, .. } => "connect".to_owned(),
        Does::Tunnel { up, down: 0, .. } => format!("upload:bytes={up}"),
        Does::Tunnel { up: 0, down, .. } => format!("download:bytes={down}"),
        Does::Tunnel { up, down, .. } => format!("download:bytes={down},send={up}"),
        Does::Plain { method, up: 0, down } => format!("http:method={method},bytes={down}"),
        Does::Plain { method, up, .. } => format!("http:method={method},path=/echo,send={up}"),
        Does::Dead { tunnel, failure, target } => {
            let name =
                target.and_then(|place| targets.get(usize::try_from(place).ok()?)).map_or("others", String::as_str);
            let place = format!("{{id}}.{name}.{}", dead_zone(failure));
            if tunnel {
                format!("connect:target={place}:443")
            } else {
                format!("http:target={place}:80,method=GET,path=/")
            }
        }
        Does::Outsider { .. } | Does::Left { .. } => "connect".to_owned(),
    }
}

pub(in crate::incident) fn milliseconds(span: Duration) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// The nearest power of two whose exponent is a multiple of `coarse`; 0 stays.
fn rounded(number: u64, coarse: f64) -> u64 {
    if number == 0 {
        return 0;
    }
    // A float that is too large becomes the greatest number.
    (((number as f64).log2() / coarse).round() * coarse).exp2().round() as u64
}

impl Does {
    /// With sizes and times as coarse as that.
    fn rounded(self, coarse: f64) -> Self {
        let bytes = |number: u64| rounded(number, coarse.max(1.0)).min(MOST_BYTES);
        let span = |span: Duration| {
            let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            Duration::from_millis(rounded(millis, coarse).min(1 << 32))
        };
        match self {
            Does::Tunnel { up, down, open } if open < SHORT => {
                Does::Tunnel { up: bytes(up), down: bytes(down), open: Duration::ZERO }
            }
            Does::Tunnel { up, down, open } => {
                // Both ways are the same in a held tunnel. A short time must not be rounded to one that holds nothing.
                Does::Tunnel { up: bytes(up.max(down)), down: bytes(up.max(down)), open: span(open).max(SHORT) }
            }
            // What is sent is sent back.
            Does::Plain { method, up: 0, down } => Does::Plain { method, up: 0, down: bytes(down) },
            Does::Plain { method, up, .. } => Does::Plain { method, up: bytes(up), down: bytes(up) },
            Does::Left { after } => Does::Left { after: span(after) },
            Does::Dead { tunnel, failure, target } => {
                Does::Dead { tunnel, failure, target: target.filter(|_| coarse <= 1.0) }
            }
            Does::Outsider { .. } => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunnel(up: u64, down: u64, millis: u64) -> Does {
        Does::Tunnel { up, down, open: Duration::from_millis(millis) }
    }

    #[test]
    fn requests_that_do_the_same_are_one_client_with_its_arrivals_in_order() {
        let asked = |millis, does, user| Asked { at: Duration::from_millis(millis), does, user };
        let all = vec![
            asked(300, tunnel(100, 5000, 20), Some(1)),
            asked(20, tunnel(130, 3900, 3), Some(0)),
            asked(90, Does::Dead { tunnel: true, failure: "status_5xx", target: Some(0) }, None),
            asked(10, Does::Outsider { wrong: true }, None),
            asked(11, Does::Left { after: Duration::from_millis(60) }, None),
            asked(12, tunnel(10_000, 0, 2500), None),
            asked(13, Does::Plain { method: "POST", up: 9, down: 1 }, None),
            asked(14, Does::Plain { method: "GET", up: 0, down: 1000 }, None),
        ];
        let (users, targets) = (["p1".to_owned(), "p2".to_owned()], ["t7".to_owned()]);
        let clients = clients(all, NamesOf { users: &users, targets: &targets });
        let does: Vec<&str> = clients.iter().map(|client| client["do"].as_str().unwrap()).collect();
        assert_eq!(
            does,
            [
                "download:bytes=4096,send=128",
                "hold:for=2s 435ms,every=608ms,bytes=1638",
                "http:method=GET,bytes=1024",
                "http:method=POST,path=/echo,send=8",
                "connect:target={id}.t7.status-5xx.dead:443",
                "connect",
                "connect",
            ]
        );
        assert_eq!(clients[0]["arrivals"], json!(["20ms", "300ms"]));
        assert_eq!(clients[0]["users"], json!(["p1:replaced", "p2:replaced"]));
        assert_eq!((&clients[5]["users"], &clients[6]["timeout"]), (&json!(["nobody:wrong"]), &json!("59ms")));
        does.iter().for_each(|does| drop(does.parse::<loadgen::ActionShare>().unwrap()));
    }

    /// A limit of connections is reached by as many as it was.
    #[test]
    fn few_clients_hold_their_tunnels_for_as_long_as_they_were_within_a_twentieth() {
        for millis in (600..60_000).step_by(77) {
            let Does::Tunnel { open, .. } = tunnel(1, 1, millis).rounded(FINEST) else { unreachable!() };
            assert!((open.as_millis() as f64 / millis as f64 - 1.0).abs() < 0.05, "{millis} ms: {open:?}");
        }
    }

    #[test]
    fn there_are_never_more_clients_than_hosts_allow() {
        let all = (1..20_000_u64).map(|number| Asked {
            at: Duration::from_millis(number),
            does: tunnel(number * number, 1 << (number % 40), number),
            user: None,
        });
        let clients = clients(all.collect(), NamesOf { users: &[], targets: &[] });
        assert!(clients.len() <= MOST_CLIENTS, "{}", clients.len());
        assert_eq!(clients.iter().map(|one| one["arrivals"].as_array().unwrap().len()).sum::<usize>(), 19_999);
    }
}
