//! A recording: the log of a day becomes a scenario that replays it.

mod attempts;
mod day;
mod processes;
mod rows;
mod timeline;
mod upstreams;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Json, json};

use self::day::Day;
use super::day::{NamesOf, Thinned, can_play, clients, plan};
use super::key::Key;
use super::log::{Lines, Place, in_order};
use super::settings::{NOBODY, Settings, list_users};
use crate::scenario::{self, Scenario, Span};

/// How many requests a recording has if nobody says.
pub const REQUESTS: usize = 5000;

/// Lines between two calls of the one who watches.
const TELL_EVERY: u64 = 10_000;
/// What follows the last line.
const REST: Duration = Duration::from_secs(1);
/// A recorded day.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The day as a scenario, with what was seen on it.
    pub scenario: Scenario,
    /// The text of its file.
    pub text: String,
    /// The logs in the order in which they were read, as notes number them.
    pub logs: Vec<PathBuf>,
}

/// Records the day that `logs` tell of, by the text of the configuration that the proxy had at its beginning. At most `most` requests
/// are kept. `watch` is told now and then how many lines were read.
///
/// # Errors
/// A file can't be read, or no event is in any; several processes wrote at once; the configuration is no JSON.
pub fn record(
    logs: &[PathBuf],
    config: &[u8],
    key: &Key,
    most: usize,
    mut watch: impl FnMut(u64),
) -> Result<Recording, String> {
    let mut settings = Settings::read(config, key).map_err(|error| format!("the configuration: {error}"))?;
    let logs = in_order(logs).map_err(|error| error.to_string())?;
    let mut day = Day::new(&settings, key, most);
    let mut read = 0;
    let mut place = Place { log: 0, line: 0 };
    for (number, path) in (1..).zip(&logs) {
        let mut lines = Lines::open(path, number).map_err(|error| error.to_string())?;
        while let Some(line) = lines.next_line().map_err(|error| error.to_string())? {
            match line {
                Ok(line) => {
                    place = line.at;
                    day.read(&line);
                }
                Err((place, why)) => day.unread(why, place),
            }
            read += 1;
            if read % TELL_EVERY == 0 {
                watch(read);
            }
        }
    }
    day.count_missing(place);
    if let Some(why) = day.processes.several() {
        return Err(why);
    }
    if let Some(note) = day.processes.notes() {
        day.notes.say(note);
    }
    if day.events == 0 {
        let notes = day.notes.sentences().join("; ");
        return Err(format!(
            "no event of the proxy in any log ({})",
            if notes.is_empty() { "they are empty" } else { &notes }
        ));
    }
    let json = scenario_of(day, &mut settings);
    let text = format!("{json:#}\n");
    let scenario =
        scenario::parse(&text).map_err(|problems| format!("the day can't be written as a scenario: {problems}"))?;
    Ok(Recording { scenario, text, logs })
}

fn scenario_of(mut day: Day<'_>, settings: &mut Settings) -> Json {
    let duration = day.last + REST;
    if !day.told_attempts {
        let what = "the log tells of no single attempts (it has them at level debug): they were taken from the ends of \
                    requests, their times were guessed, and probes and checks are not known";
        day.notes.say(what);
    }
    for what in &settings.left_out {
        day.notes.say(format!("of the configuration is left out: {what}"));
    }
    if let Some(users) = &mut settings.users {
        // Those that come from variables have names in the log alone.
        users.extend(day.users.names.iter().cloned());
        if users.is_empty() {
            // A proxy that asks has to know somebody.
            users.insert(NOBODY.to_owned());
        }
        list_users(&mut settings.proxy, users);
    }
    let dead: BTreeSet<&'static str> = day.dead_by.iter().copied().collect();
    for failure in &dead {
        if !can_play(super::day::Came::Failed(failure)) {
            day.notes.say(format!("targets that failed by {failure} are refused with 502 in the replay"));
        }
    }
    let upstreams = upstreams(&mut day, &dead);
    let (mut seen, untold) = day.sight.seen();
    if untold > 0 {
        day.notes.say(format!("{untold} ejections and recoveries are not told: there were too many"));
    }
    let Thinned { left: requests, one_in, refused } = day.requests.end();
    if one_in > 1.0 {
        let row = match day.told_attempts {
            true => "but where failures in a row ejected an upstream: there all are",
            false => "so that what ejects by failures in a row does so later",
        };
        day.notes.say(format!("one in {one_in:.1} requests is replayed: rates are lower by that, {row}"));
        if refused > 0 {
            day.notes.say(format!("{refused} ejections may come later in the replay: too many requests led to them"));
        }
    }
    seen.one_in = one_in;
    seen.guessed = day.notes.sentences();
    let names = NamesOf { users: &day.users.names, targets: &day.dead.names };
    let mut clients = clients(requests, names);
    if clients.is_empty() {
        // A scenario has a client; this one asks once.
        clients.push(json!({ "name": "client-1", "do": "connect", "requests": 1 }));
    }
    let mut json = json!({
        "name": "incident",
        "story": "A day that was recorded from the proxy's log.",
        "duration": Span::from(Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))),
        "proxy": settings.proxy,
        "upstreams": upstreams,
        "clients": clients,
        "seen": seen,
    });
    if !day.timeline.is_empty() {
        json["timeline"] = day.timeline.entries().into();
    }
    json
}

/// The upstreams of the configuration, and those that a reload brings.
fn upstreams(day: &mut Day<'_>, dead: &BTreeSet<&'static str>) -> Vec<Json> {
    let mut behaviours = std::mem::take(&mut day.attempts).by_upstream();
    let configured = day.upstreams.configured().map(str::to_owned);
    let brought = day.timeline.brought().map(str::to_owned);
    let hosts: Vec<String> = configured.chain(brought).collect();
    let mut upstreams = Vec::new();
    for host in hosts {
        let tls = day.upstreams.speaks_tls(&host);
        let (behaviour, outages) = behaviours.remove(&host).unwrap_or_default();
        for came in behaviour.failed() {
            let of_tls = came == super::day::Came::Failed("tls_failed");
            if !can_play(came) || of_tls && !tls {
                day.notes.say(format!(
                    "attempts that failed by {} are no upstream's doing in the replay: left out",
                    came.word()
                ));
            }
        }
        let mut upstream = json!({ "name": host });
        if tls {
            upstream["tls"] = true.into();
        }
        let plan = plan(&behaviour.segments(&outages), dead);
        if !plan.faults.is_null() {
            upstream["plan"] = plan.faults;
        }
        day.timeline.cut(&host, &plan.cuts);
        upstreams.push(upstream);
    }
    if !behaviours.is_empty() {
        day.notes.say(format!(
            "{} upstreams are in the log and not in the configuration: what they did is not replayed",
            behaviours.len()
        ));
    }
    upstreams
}
