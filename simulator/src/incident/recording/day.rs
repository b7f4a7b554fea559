//! A day while its log is read: each line adds to what is known of it, in bounded memory.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value as Json;

use super::attempts::{Attempts, came};
use super::processes::Processes;
use super::rows::Rows;
use super::timeline::Timeline;
use super::upstreams::Upstreams;
use crate::incident::day::{Asked, Does, MOST_BYTES, Sight, Thin, begun};
use crate::incident::key::{Key, NameOf};
use crate::incident::log::{LogClock, LogLine, Place, Unread};
use crate::incident::notes::Notes;
use crate::incident::settings::Settings;
use crate::record::{Finished, ProxyEvent, parse_log_line};
use crate::scenario::UPSTREAM_PORT;

/// The most users that are told apart, and the most targets that failed through every upstream.
const MOST_USERS: usize = 1000;
const MOST_DEAD: usize = 24;

/// Events of the proxy's process that say nothing of requests.
const OF_THE_PROCESS: &[&str] = &[
    "handed_over",
    "hand_over_broken_off",
    "successor_started",
    "log_level_set",
    "log_reopened",
    "flight_recorded",
    "flight_record_failed",
];

/// What is known of a day.
pub(super) struct Day<'a> {
    key: &'a Key,
    clock: LogClock,
    pub(super) last: Duration,
    pub(super) notes: Notes,
    pub(super) sight: Sight,
    pub(super) upstreams: Upstreams,
    pub(super) attempts: Attempts,
    pub(super) timeline: Timeline,
    pub(super) processes: Processes,
    pub(super) requests: Thin<Asked>,
    rows: Rows,
    pub(super) users: Listed,
    pub(super) dead: Listed,
    /// How targets failed through every upstream.
    pub(super) dead_by: Vec<&'static str>,
    /// Requests that have ended, and the least and the greatest number of them, since the last start.
    numbers: Option<(u64, u64, u64)>,
    /// The process that has just begun its first epoch has not said yet that it started.
    starting: bool,
    /// Whether the log tells of single attempts, and how many events it has told.
    pub(super) told_attempts: bool,
    pub(super) events: u64,
}

/// Names in the order in which they came, up to a number of them.
#[derive(Debug)]
pub(super) struct Listed {
    most: usize,
    places: BTreeMap<String, u32>,
    pub(super) names: Vec<String>,
}

impl Listed {
    fn up_to(most: usize) -> Self {
        Listed { most, places: BTreeMap::new(), names: Vec::new() }
    }

    fn place(&mut self, name: String) -> Option<u32> {
        if let Some(place) = self.places.get(&name) {
            return Some(*place);
        }
        if self.names.len() >= self.most {
            return None;
        }
        let place = u32::try_from(self.names.len()).ok()?;
        self.places.insert(name.clone(), place);
        self.names.push(name);
        Some(place)
    }
}

/// The process that wrote `line`, where it says so. Older versions do not.
fn pid_in(line: &LogLine) -> Option<u64> {
    line.json.get("pid").and_then(Json::as_u64)
}

impl<'a> Day<'a> {
    pub(super) fn new(settings: &Settings, key: &'a Key, most: usize) -> Self {
        Day {
            key,
            clock: LogClock::default(),
            last: Duration::ZERO,
            notes: Notes::default(),
            sight: Sight::default(),
            upstreams: Upstreams::new(settings.upstreams.clone()),
            attempts: Attempts::default(),
            timeline: Timeline::new(settings.proxy.clone()),
            processes: Processes::default(),
            requests: Thin::to(most),
            rows: Rows::default(),
            users: Listed::up_to(MOST_USERS),
            dead: Listed::up_to(MOST_DEAD),
            dead_by: Vec::new(),
            numbers: None,
            starting: false,
            told_attempts: false,
            events: 0,
        }
    }

    /// A line that tells nothing.
    pub(super) fn unread(&mut self, why: Unread, place: Place) {
        self.notes.count(format!("lines {}", why.in_words()), place);
    }

    /// Takes in a line.
    pub(super) fn read(&mut self, line: &LogLine) {
        let place = line.at;
        let Some(word) = line.json.get("event").and_then(Json::as_str) else {
            return self.unread(Unread::NoEvent, place);
        };
        let (at, step) = self.clock.at(line.time);
        if step.is_some() {
            let what = "steps of the clock back by more than a second, or files that overlap: what follows is placed right behind";
            self.notes.count(what, place);
        }
        if word == "took_over" {
            // The process before has not ended with the start of this one, and which of the two has ended requests since is not known.
            self.processes.handed_over();
            self.numbers = None;
            return self.timeline.took_over();
        }
        if OF_THE_PROCESS.contains(&word) {
            return self
                .notes
                .count("what the process told of itself, such as hand-overs, which is not replayed", place);
        }
        if word == "log_lines_dropped" {
            let lines = line.json.get("lines").and_then(Json::as_u64).unwrap_or(1);
            return self.notes.add("lines that the proxy could not write in time".to_owned(), lines, Some(place));
        }
        self.upstreams.learn(&line.json, self.key);
        let (upstreams, key) = (&self.upstreams, self.key);
        let url = |url: &str| format!("http://{}:{UPSTREAM_PORT}", upstreams.at(url, key));
        let Some(event) = parse_log_line(&line.json, at, |id| upstreams.numbered(id), url) else {
            let known = word == "started" || ProxyEvent::WORDS.contains(&word);
            return self.unread(if known { Unread::OtherFields } else { Unread::UnknownEvent }, place);
        };
        self.happened(at, &event, line);
        if word == "started" {
            self.processes.runs_as(pid_in(line));
        }
        self.events += 1;
        self.last = at;
    }

    fn happened(&mut self, at: Duration, event: &ProxyEvent, line: &LogLine) {
        let place = line.at;
        self.sight.see(at, event);
        match event {
            // A process begins its first epoch right before it says that it started; a log at level info has the latter alone.
            ProxyEvent::EpochStarted { number: 0, .. } => {
                (self.starting, self.told_attempts) = (true, true);
                self.started(at, place);
            }
            ProxyEvent::Started { .. } if std::mem::take(&mut self.starting) => {}
            ProxyEvent::Started { .. } => self.started(at, place),
            ProxyEvent::AttemptEnded { request, upstream, failure, took_us } => {
                self.told_attempts = true;
                let took = Duration::from_micros(*took_us);
                let came = came(*failure, line.json.get("cause").and_then(Json::as_str), took);
                let begun = at.saturating_sub(took);
                self.rows.ended(upstream, begun, failure.is_some());
                let forgotten = self.attempts.ended(*request, upstream, begun, came);
                if forgotten > 0 {
                    let what = "attempts of requests that were open when too many were".to_owned();
                    self.notes.add(what, forgotten, Some(place));
                }
            }
            ProxyEvent::Decided { request, success: true } => self.attempts.served(*request),
            ProxyEvent::Finished(end) => self.finished(at, end, line),
            ProxyEvent::Ejected { upstream, failures, .. } => {
                self.attempts.ejected(upstream, at, *failures);
                if let Some(time) = self.rows.ejected(upstream) {
                    self.requests.keep_all_of(&time);
                }
            }
            ProxyEvent::Recovered { upstream, .. } => self.attempts.recovered(upstream, at),
            ProxyEvent::Reloaded { changes, .. } => {
                self.timeline.reloaded(at, changes, &mut self.upstreams, self.key, &mut self.notes, place);
            }
            ProxyEvent::Steered { .. } => self.steered(at, line),
            ProxyEvent::ReloadFailed { .. } => self.timeline.reload_refused(at, &mut self.notes, place),
            ProxyEvent::DrainStarted { open } => {
                let handed_over = self.processes.drains(*open as u64, pid_in(line));
                if !handed_over {
                    self.timeline.drained(at, &mut self.notes, place);
                }
            }
            ProxyEvent::Drained { .. } => {
                let handed_over = self.processes.drained(pid_in(line));
                if !handed_over {
                    self.timeline.ended();
                }
            }
            ProxyEvent::TunnelsClosed { .. } => {
                self.notes.count("tunnels closed by hand, which are not replayed", place)
            }
            ProxyEvent::AcceptFailed { .. } => {
                self.notes.count("connections that could not be accepted: not replayed", place)
            }
            _ => {}
        }
    }

    fn started(&mut self, at: Duration, place: Place) {
        if self.events == 0 {
            return;
        }
        self.processes.started(at);
        self.attempts.process_ended(at);
        self.rows.process_ended();
        self.upstreams.started();
        self.count_missing(place);
        self.timeline.restarted(self.last, at, &mut self.notes, place);
    }

    /// What is set by hand is replayed as a reload with that change.
    fn steered(&mut self, at: Duration, line: &LogLine) {
        let text = |field: &str| line.json.get(field).and_then(Json::as_str).unwrap_or_default();
        let what = text("change").strip_prefix("upstream ").and_then(|rest| rest.strip_prefix(text("name")));
        let change = what.map(|what| format!("upstream {}{what}", text("upstream")));
        self.timeline.reloaded(at, change.as_slice(), &mut self.upstreams, self.key, &mut self.notes, line.at);
    }

    fn finished(&mut self, at: Duration, end: &Finished, line: &LogLine) {
        let place = line.at;
        let begun = begun(at, end);
        if self.processes.ended(end.request, begun) {
            self.numbers = Some(match self.numbers {
                None => (1, end.request, end.request),
                Some((count, least, most)) => (count + 1, least.min(end.request), most.max(end.request)),
            });
        }
        self.attempts.finished(end, begun, &line.json);
        if begun.is_zero() && at < Duration::from_micros(end.duration_us) {
            return self.notes.count("requests that began before the log: they are seen and not replayed", place);
        }
        let Some(does) = self.does(end, place) else { return };
        let user = end.user.as_deref().map(|user| self.key.name(NameOf::User, user));
        let user = user.and_then(|user| {
            let listed = self.users.place(user);
            if listed.is_none() {
                self.notes.count(
                    format!("requests of users beyond the first {MOST_USERS}: they come as any of the others"),
                    place,
                );
            }
            listed
        });
        self.requests.add(end.outcome, begun, Asked { at: begun, does, user });
    }

    /// What a client did; `None` where that can't be replayed.
    fn does(&mut self, end: &Finished, place: Place) -> Option<Does> {
        let tunnel = end.method == "CONNECT";
        let micros = Duration::from_micros;
        match end.outcome {
            "no_credentials" | "bad_credentials" => return Some(Does::Outsider { wrong: false }),
            "wrong_credentials" => return Some(Does::Outsider { wrong: true }),
            "client_gone" if end.status == 0 => return Some(Does::Left { after: micros(end.duration_us) }),
            _ if end.method == "-" || end.attempts == 0 && end.blame == Some("client") => {
                self.notes
                    .count(format!("requests that the proxy turned away as {}: not replayed", end.outcome), place);
                return None;
            }
            _ => {}
        }
        if end.blame == Some("target") && end.outcome != "ok" && end.failed_attempts.len() == end.attempts as usize {
            let failure = end.failed_attempts.last().map_or("status_5xx", |(_, failure)| failure);
            if !self.dead_by.contains(&failure) {
                self.dead_by.push(failure);
            }
            let target = self.dead.place(self.key.name(NameOf::Target, &end.target));
            return Some(Does::Dead { tunnel, failure, target });
        }
        if end.outcome != "ok" {
            self.notes.count(
                "requests that failed: what they would have moved is not known, and the replay moves what they did",
                place,
            );
        }
        if matches!(end.outcome, "reply_cut" | "reply_malformed") || end.end == Some("upstream_reset") {
            self.notes.count("replies and tunnels that broke off behind the verdict: the replay's do not", place);
        }
        if end.bytes_up.max(end.bytes_down) > MOST_BYTES {
            self.notes.count(
                format!("requests that moved more than {MOST_BYTES} bytes one way: the replay moves as many"),
                place,
            );
        }
        if tunnel {
            let open = micros(end.duration_us).saturating_sub(micros(end.latency_us));
            return Some(Does::Tunnel { up: end.bytes_up, down: end.bytes_down, open });
        }
        const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"];
        let known = METHODS.into_iter().find(|method| *method == end.method);
        if known.is_none() {
            self.notes.count("requests with a method that is none of HTTP's usual ones: replayed as GET", place);
        }
        let method = known.unwrap_or("GET");
        // HEAD goes without a body.
        let up = if method == "HEAD" { 0 } else { end.bytes_up };
        Some(Does::Plain { method, up, down: end.bytes_down })
    }

    /// Requests that have a number and no end, of the process that is over.
    pub(super) fn count_missing(&mut self, place: Place) {
        if let Some((count, least, most)) = self.numbers.take() {
            let missing = (most - least).saturating_add(1).saturating_sub(count);
            if missing > 0 {
                let what = "requests that were numbered and whose end is not in the log".to_owned();
                self.notes.add(what, missing, Some(place));
            }
        }
    }
}
