//! Tells people of the requests that the running proxy remembers.

use std::fmt::Write as _;

use serde::Deserialize;

use super::columns::columns;

/// A page of requests, as far as the table needs it.
#[derive(Deserialize)]
struct ListPage {
    missed: u64,
    requests: Vec<Request>,
}

/// A page of one request.
#[derive(Deserialize)]
struct StoryPage {
    #[serde(flatten)]
    request: Request,
    attempts: Vec<Attempt>,
}

#[derive(Deserialize)]
struct Request {
    request: u64,
    time: String,
    client: String,
    user: Option<String>,
    method: String,
    target: String,
    config_epoch: u64,
    status: u16,
    outcome: String,
    blame: Option<String>,
    name: Option<String>,
    attempt_count: u32,
    cause: Option<String>,
    bytes_up: u64,
    bytes_down: u64,
    latency_ms: f64,
    duration_ms: f64,
    end: Option<String>,
}

#[derive(Deserialize)]
struct Attempt {
    id: String,
    name: String,
    epoch: u64,
    ticket: Option<u64>,
    candidates: usize,
    excluded: Vec<Excluded>,
    #[serde(default)]
    excluded_more: usize,
    lookup_ms: Option<f64>,
    tcp_ms: Option<f64>,
    tls_ms: Option<f64>,
    reply_ms: Option<f64>,
    stage: Option<String>,
    failure: Option<String>,
    cause: Option<String>,
    blame: Option<String>,
    because: Option<String>,
}

#[derive(Deserialize)]
struct Excluded {
    name: String,
    why: String,
}

/// The table of a `page` of requests.
///
/// # Errors
/// The page is not one that this version knows.
pub fn table(page: String) -> Result<String, serde_json::Error> {
    let page: ListPage = serde_json::from_str(&page)?;
    let head = ["REQUEST", "TIME", "METHOD", "TARGET", "USER", "STATUS", "OUTCOME", "BLAME", "UPSTREAM", "TRIES"];
    let mut rows = vec![head.map(str::to_owned)];
    for one in page.requests {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        rows.push([
            one.request.to_string(),
            one.time,
            one.method,
            one.target,
            or_dash(one.user),
            one.status.to_string(),
            one.outcome,
            or_dash(one.blame),
            or_dash(one.name),
            one.attempt_count.to_string(),
        ]);
    }
    let mut text = columns(&rows);
    if page.missed > 0 {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} more could not be remembered because somebody was reading", page.missed);
    }
    Ok(text)
}

/// What a `page` of one request says, in sentences.
///
/// # Errors
/// The page is not one that this version knows.
pub fn told(page: String) -> Result<String, serde_json::Error> {
    let StoryPage { request, attempts } = serde_json::from_str(&page)?;
    let mut lines = vec![asked(&request), ended(&request)];
    let left_out = (request.attempt_count as usize).saturating_sub(attempts.len());
    if request.attempt_count == 0 {
        lines.push("It went through no upstream.".to_owned());
    } else if left_out > 0 {
        lines.push(format!("Of its {} attempts the first {left_out} are not remembered.", request.attempt_count));
    }
    for (number, attempt) in (left_out + 1..).zip(&attempts) {
        lines.push(String::new());
        lines.push(picked(number, attempt));
        lines.extend(excluded(attempt).map(|line| format!("  {line}")));
        lines.push(format!("  {}", became(&request, attempt)));
        if let (Some(blame), Some(because)) = (&attempt.blame, &attempt.because) {
            lines.push(format!("  {}: {because}.", blamed(blame)));
        }
    }
    // What a peer may have written goes to a terminal.
    let shown = |line: &String| line.chars().filter(|c| !c.is_control()).collect::<String>();
    Ok(lines.iter().map(|line| shown(line) + "\n").collect())
}

fn asked(request: &Request) -> String {
    let Request { request: number, time, client, user, method, target, config_epoch, .. } = request;
    let user = user.as_ref().map_or_else(String::new, |user| format!(" as {user}"));
    format!(
        "Request {number}: {method} {target}, asked by {client}{user} at {time} under configuration {config_epoch}."
    )
}

fn ended(request: &Request) -> String {
    let Request { status, outcome, cause, bytes_up, bytes_down, latency_ms, duration_ms, end, .. } = request;
    let answer = if *status == 0 { "It was not answered".to_owned() } else { format!("It was answered with {status}") };
    let carried = format!("{bytes_up} bytes went up and {bytes_down} down until it was over after {duration_ms} ms");
    let end = end.as_ref().map_or_else(String::new, |end| format!(" ({end})"));
    if outcome == "ok" {
        // Unless it ended in order: then the cause is that of an attempt before.
        let cause = cause.as_ref().filter(|_| request.end.as_ref().is_some_and(|end| !end.ends_with("closed")));
        let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
        return format!("{answer} after {latency_ms} ms; {carried}{end}{cause}.");
    }
    let blame = request.blame.as_deref().map_or_else(String::new, |blame| format!(" {}.", blamed(blame)));
    let cause = cause.as_ref().map_or_else(String::new, |cause| format!(": {cause}"));
    format!("{answer}, and failed with {outcome}{cause}.{blame} It took {latency_ms} ms to know; {carried}{end}.")
}

fn blamed(blame: &str) -> &str {
    match blame {
        "client" => "The client is to blame",
        "netdrift" => "This proxy, or what it runs on, is to blame",
        "upstream" => "The upstream is to blame",
        "target" => "The target is to blame",
        _ => "Nobody can be blamed",
    }
}

fn picked(number: usize, attempt: &Attempt) -> String {
    let Attempt { id, name, epoch, candidates, .. } = attempt;
    let why = match attempt.ticket {
        Some(ticket) => {
            format!("whose turn it was (ticket {ticket} of epoch {epoch}, of {candidates} that took picks)")
        }
        None if *candidates == 0 => format!("the one that had failed least: no upstream took picks in epoch {epoch}"),
        None => {
            format!("the least busy for its weight of those that were left ({candidates} took picks in epoch {epoch})")
        }
    };
    format!("Attempt {number} went through {name} ({id}), {why}.")
}

fn excluded(attempt: &Attempt) -> Option<String> {
    let mut all: Vec<String> = attempt.excluded.iter().map(|one| format!("{} ({})", one.name, one.why)).collect();
    if attempt.excluded_more > 0 {
        all.push(format!("{} more", attempt.excluded_more));
    }
    (!all.is_empty()).then(|| format!("Excluded: {}.", all.join(", ")))
}

fn became(request: &Request, attempt: &Attempt) -> String {
    let named = [
        ("name lookup", attempt.lookup_ms),
        ("TCP", attempt.tcp_ms),
        ("TLS", attempt.tls_ms),
        ("reply", attempt.reply_ms),
    ];
    let phases: Vec<String> =
        named.iter().filter_map(|(name, took)| took.map(|took| format!("{name} {took} ms"))).collect();
    let phases = if phases.is_empty() { String::new() } else { format!(" ({})", phases.join(", ")) };
    let Some(failure) = &attempt.failure else {
        // Whoever left did not wait for its end.
        let opened = request.outcome == "ok" || !phases.is_empty();
        return if opened { format!("It worked{phases}.") } else { "The client did not wait for its end.".to_owned() };
    };
    let stage = match attempt.stage.as_deref() {
        Some("lookup") => " while its name was looked up",
        Some("tcp") => " while it was connected to",
        Some("tls") => " while TLS was agreed on",
        Some("reply") => " while its reply was awaited",
        _ => "",
    };
    let cause = attempt.cause.as_ref().map_or_else(String::new, |cause| format!(": {cause}"));
    format!("It failed{stage} with {failure}{cause}{phases}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORY: &str = r#"{
        "request": 7, "time": "2026-01-02T03:04:05.006Z", "client": "127.0.0.1:5", "user": "anna", "method": "CONNECT",
        "target": "a.test:443", "config_epoch": 2, "status": 200, "outcome": "ok", "name": "near", "attempt_count": 2,
        "cause": "Connection refused (os error 111)", "bytes_up": 10, "bytes_down": 20, "latency_ms": 3.5, "duration_ms": 90.0,
        "end": "closed",
        "attempts": [
            { "id": "u0", "name": "far", "url": "https://a:1", "tag": "far", "epoch": 4, "ticket": 9, "candidates": 2,
              "excluded": [{ "id": "u2", "name": "off", "why": "disabled" }], "lookup_ms": 0.1, "tcp_ms": 1.5,
              "stage": "tcp", "failure": "connect_refused", "cause": "Connection \u001b[2Jrefused (os error 111)",
              "blame": "upstream", "rule": "unreachable", "because": "no TCP connection to it came about" },
            { "id": "u1", "name": "near", "url": "http://b:1", "epoch": 4, "candidates": 2, "excluded": [
                { "id": "u2", "name": "off", "why": "disabled" }, { "id": "u0", "name": "far", "why": "tried already" }],
              "excluded_more": 3, "tcp_ms": 0.5, "reply_ms": 1.0 } ] }"#;

    #[test]
    fn a_story_is_told_in_sentences_and_nothing_in_it_moves_the_cursor() {
        let expected = "\
Request 7: CONNECT a.test:443, asked by 127.0.0.1:5 as anna at 2026-01-02T03:04:05.006Z under configuration 2.
It was answered with 200 after 3.5 ms; 10 bytes went up and 20 down until it was over after 90 ms (closed).

Attempt 1 went through far (u0), whose turn it was (ticket 9 of epoch 4, of 2 that took picks).
  Excluded: off (disabled).
  It failed while it was connected to with connect_refused: Connection [2Jrefused (os error 111) (name lookup 0.1 ms, TCP 1.5 ms).
  The upstream is to blame: no TCP connection to it came about.

Attempt 2 went through near (u1), the least busy for its weight of those that were left (2 took picks in epoch 4).
  Excluded: off (disabled), far (tried already), 3 more.
  It worked (TCP 0.5 ms, reply 1 ms).
";
        assert_eq!(told(STORY.to_owned()).unwrap(), expected);
        assert!(told("{}".to_owned()).is_err());
    }

    #[test]
    fn requests_stand_in_columns() {
        let story: serde_json::Value = serde_json::from_str(STORY).unwrap();
        let page = serde_json::json!({ "missed": 2, "requests": [story] }).to_string();
        let shown = table(page).unwrap();
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].starts_with("REQUEST  TIME"), "{shown}");
        assert_eq!(lines[0].find("OUTCOME"), lines[1].find("ok"), "{shown}");
        assert_eq!(lines[2], "2 more could not be remembered because somebody was reading");
        assert!(table("[]".to_owned()).is_err());
    }
}
