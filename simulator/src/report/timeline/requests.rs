//! Draws requests as clients saw them, attempts as the proxy reported them, and requests as upstreams journalled them.

use std::collections::BTreeMap;

use mock_upstreams::journal::{Event as JournalEvent, Outcome as Written};

use super::picture::{Mark, Picture, Spell, Tone, clock};
use crate::judge::id_of;
use crate::record::{ClientEvent, ClientResult, Finished, Line, ProxyEvent, What, micros};

/// An attempt that is under way.
struct Attempt {
    from: u64,
    number: u32,
    ticket: Option<u64>,
    probe: bool,
}

/// Draws all requests of `lines` into the lanes of their hosts, as clients and upstreams saw them.
pub(super) fn draw(picture: &mut Picture, lines: &[Line]) {
    clients(picture, lines);
    journals(picture, lines);
}

fn clients(picture: &mut Picture, lines: &[Line]) {
    let finished = finished(lines);
    let mut asked: BTreeMap<&str, (u64, &str, String)> = BTreeMap::new();
    for line in lines {
        let What::Client(event) = &line.what else { continue };
        match event {
            ClientEvent::Asked { id, method, target, .. } => {
                asked.insert(id, (line.at_us, line.host.as_str(), format!("{id}: {method} {target}")));
            }
            ClientEvent::Ended(result) => {
                let Some((from, host, what)) = asked.remove(result.id.as_str()) else { continue };
                let told = finished.get(result.id.as_str());
                let (good, how) = seen(result);
                let tone = match (good, told.is_some_and(|told| told.attempts > 1)) {
                    (true, false) => Tone::Good,
                    (true, true) => Tone::Saved,
                    (false, _) => Tone::Failed,
                };
                let mut text = format!("{what}\n{how}");
                text.push_str(&told.map(|told| way(told)).unwrap_or_default());
                let bar = Spell { from, until: line.at_us, tone, label: String::new(), text };
                picture.lane(host).bars.push(bar);
            }
        }
    }
    let end = picture.end;
    for (from, host, what) in asked.into_values() {
        let text = format!("{what}\nnever ended");
        let bar = Spell { from, until: end, tone: Tone::Failed, label: String::new(), text };
        picture.lane(host).bars.push(bar);
    }
}

/// Whether a client's request succeeded, and a text about its end.
fn seen(result: &ClientResult) -> (bool, String) {
    let status = result.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let answered =
        result.answered().map_or_else(String::new, |after| format!(", answered after {}", clock(micros(after))));
    let outcome = result.failure.map_or_else(|| "ok".to_owned(), |failure| failure.to_string());
    let how = format!("{outcome}, {status}, took {}{answered}", clock(result.took_us));
    (result.failure.is_none(), how)
}

/// What the proxy reported at the end of each request, by the request's id.
fn finished(lines: &[Line]) -> BTreeMap<&str, &Finished> {
    let told = lines.iter().filter_map(|line| match &line.what {
        What::Proxy(ProxyEvent::Finished(told)) => Some((id_of(&told.target)?, told)),
        _ => None,
    });
    told.collect()
}

/// A text about the attempts of a request.
fn way(told: &Finished) -> String {
    let attempts = if told.attempts == 1 { "attempt" } else { "attempts" };
    let mut text = format!("\nproxy's request {}: {} {attempts}", told.request, told.attempts);
    for (upstream, why) in &told.failed_attempts {
        text.push_str(&format!(", {} failed: {why}", short(upstream)));
    }
    if let Some(upstream) = &told.upstream {
        text.push_str(&format!(", served by {}", short(upstream)));
    }
    if let Some(blame) = told.blame {
        text.push_str(&format!(", blame on {blame}"));
    }
    text
}

/// The host of a URL such as "http://alpha:8080". The rest is the same for all upstreams.
fn short(url: &str) -> &str {
    let url = url.split_once("://").map_or(url, |(_, rest)| rest);
    url.trim_end_matches('/').strip_suffix(":8080").unwrap_or(url)
}

/// Draws the attempts in `lines`, which one proxy has told, into the lanes of their upstreams.
pub(super) fn attempts(picture: &mut Picture, lines: &[Line]) {
    let mut open: BTreeMap<(Option<u64>, &str), Attempt> = BTreeMap::new();
    for line in lines {
        let What::Proxy(event) = &line.what else { continue };
        match event {
            // A new process has started, so the attempts of the one before have died with it.
            ProxyEvent::EpochStarted { number: 0, .. } => {
                for ((request, upstream), attempt) in std::mem::take(&mut open) {
                    end(picture, upstream, request, &attempt, line.at_us, Tone::Failed, "died with the proxy");
                }
            }
            ProxyEvent::PickMade { request, attempt, ticket, upstream, probe, .. } => {
                let attempt = Attempt { from: line.at_us, number: *attempt, ticket: *ticket, probe: *probe };
                open.insert((*request, upstream.as_str()), attempt);
            }
            ProxyEvent::AttemptEnded { request, upstream, failure, .. } => {
                let key = (*request, upstream.as_str());
                // An attempt that succeeded lasts until its request ends.
                if failure.is_none() && request.is_some() {
                    continue;
                }
                let Some(attempt) = open.remove(&key) else { continue };
                let tone = if failure.is_some() { Tone::Failed } else { Tone::Probe };
                end(picture, key.1, *request, &attempt, line.at_us, tone, failure.unwrap_or("ok"));
            }
            ProxyEvent::Finished(told) => {
                let key = Some(told.request);
                let mine: Vec<&str> =
                    open.keys().filter(|(request, _)| *request == key).map(|(_, host)| *host).collect();
                for upstream in mine {
                    let Some(attempt) = open.remove(&(key, upstream)) else { continue };
                    let tone = match told.outcome {
                        "ok" if attempt.probe => Tone::Probe,
                        "ok" => Tone::Good,
                        _ => Tone::Failed,
                    };
                    let how = format!("{}, {}, {}", told.target, told.status, told.outcome);
                    end(picture, upstream, key, &attempt, line.at_us, tone, &how);
                }
            }
            _ => {}
        }
    }
    let last = picture.end;
    for ((request, upstream), attempt) in open {
        end(picture, upstream, request, &attempt, last, Tone::Failed, "never ended");
    }
}

fn end(
    picture: &mut Picture,
    upstream: &str,
    request: Option<u64>,
    attempt: &Attempt,
    until: u64,
    tone: Tone,
    how: &str,
) {
    let of = request.map_or_else(|| "health check".to_owned(), |request| format!("proxy's request {request}"));
    let ticket = attempt.ticket.map_or_else(String::new, |ticket| format!(", ticket {ticket}"));
    let probe = if attempt.probe { ", a probe" } else { "" };
    let took = clock(until - attempt.from);
    let text = format!("{of}, attempt {}{ticket}{probe}\n{how}, took {took}", attempt.number);
    let lane = picture.lane(upstream);
    if attempt.probe {
        let label = String::new();
        lane.marks.push(Mark { at: attempt.from, tone: Tone::Probe, label, text: format!("probe: {text}") });
    }
    lane.bars.push(Spell { from: attempt.from, until, tone, label: String::new(), text });
}

fn journals(picture: &mut Picture, lines: &[Line]) {
    let mut shut: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for line in lines {
        let What::Upstream(event) = &line.what else { continue };
        let (at, host) = (line.at_us, line.host.as_str());
        match event {
            JournalEvent::Request(record) => {
                let tone = match (record.faults.is_empty(), record.outcome) {
                    (false, _) => Tone::Fault,
                    (true, Written::Completed) => Tone::Good,
                    (true, _) => Tone::Failed,
                };
                let status = record.status.map_or_else(|| "no status".to_owned(), |status| status.to_string());
                let faults = listed(&record.faults);
                let text = format!(
                    "written down: {} {}, {status}, {}{faults}",
                    record.method,
                    record.target,
                    word(&record.outcome)
                );
                picture.lane(host).written.push(Mark { at, tone, label: String::new(), text });
            }
            JournalEvent::Struck { connection, fault } => {
                let text = format!("written down: connection {connection} struck by {fault}");
                picture.lane(host).written.push(Mark { at, tone: Tone::Fault, label: String::new(), text });
            }
            JournalEvent::Listener { state, .. } => {
                close(picture, &mut shut, host, at);
                if *state != "open" {
                    shut.insert(host, (at, state));
                }
            }
            _ => {}
        }
    }
    let healed = picture.end;
    for host in shut.keys().copied().collect::<Vec<_>>() {
        close(picture, &mut shut, host, healed);
    }
}

fn close(picture: &mut Picture, shut: &mut BTreeMap<&str, (u64, &str)>, host: &str, until: u64) {
    if let Some((from, state)) = shut.remove(host) {
        let text = format!("its listener was {state}");
        let band = Spell { from, until, tone: Tone::Fault, label: format!("port {state}"), text };
        picture.lane(host).bands.push(band);
    }
}

fn listed(faults: &[String]) -> String {
    if faults.is_empty() { String::new() } else { format!(", faults: {}", faults.join(", ")) }
}

/// The word for `value` in the trace.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|json| json.as_str().map(str::to_owned)).unwrap_or_default()
}
