//! Asking the proxy for its statistics and mock upstreams for their counts and journals.

use std::time::Duration;

use loadgen::verdict::ledger::Entry;
use loadgen::wire::{Body, Wire};
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A whole question and answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest answer: a full journal has some 30 MB.
const MOST: usize = 256 << 20;

/// The proxy's statistics, as far as verdicts need them.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Stats {
    #[serde(default)]
    pub(crate) config_epoch: u64,
    pub(crate) current_requests: u64,
    #[serde(default)]
    pub(crate) rejected_requests: u64,
    pub(crate) total: Totals,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Totals {
    pub(crate) success_requests: u64,
    pub(crate) failed_requests: u64,
    pub(crate) upstream_metrics: Vec<Upstream>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Upstream {
    pub(crate) url: String,
    pub(crate) weight: u64,
    pub(crate) enabled: bool,
    pub(crate) healthy: bool,
    /// Milliseconds to its next probe, while it is ejected.
    #[serde(default)]
    pub(crate) probe_in_ms: Option<u64>,
    pub(crate) total_requests: u64,
    pub(crate) failed_requests: u64,
}

impl Upstream {
    /// Whether it is the one at `address` (host:port); its whole URL will do as well.
    pub(crate) fn is_at(&self, address: &str) -> bool {
        let authority = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest).trim_end_matches('/');
        authority == address || self.url == address
    }

    /// Its weight while it takes traffic.
    pub(crate) fn live_weight(&self) -> u64 {
        if self.enabled && self.healthy { self.weight } else { 0 }
    }
}

/// A mock upstream's counts.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) open_requests: u64,
    pub(crate) refused: u64,
    pub(crate) unreachable: u64,
    pub(crate) entries_dropped: u64,
}

impl Counts {
    /// Requests since `before`, and how many of them were turned away; none where it began to count anew.
    pub(crate) fn since(&self, before: &Counts) -> Option<(u64, u64)> {
        let picked = (self.requests + self.open_requests).checked_sub(before.requests + before.open_requests)?;
        let refused = (self.refused + self.unreachable).checked_sub(before.refused + before.unreachable)?;
        Some((picked, refused))
    }
}

/// The body of `http://address/path`; `authorization` is the token of Basic credentials.
pub(crate) async fn get(address: &str, path: &str, authorization: Option<&str>) -> Result<Vec<u8>, String> {
    ask(address, &format!("GET {path}"), authorization, "").await
}

/// The answer to `question`, a method and a path, with `body`, at `address`. Any other status than 200 is an error.
pub(crate) async fn ask(
    address: &str,
    question: &str,
    authorization: Option<&str>,
    body: &str,
) -> Result<Vec<u8>, String> {
    let ask = async {
        let mut wire = Wire::new(TcpStream::connect(address).await?);
        let credentials = authorization.map_or(String::new(), |token| format!("Authorization: Basic {token}\r\n"));
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!("{question} HTTP/1.1\r\nHost: {address}\r\n{credentials}{length}Connection: close\r\n\r\n");
        wire.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
        let head = wire.head().await?;
        let (mut body, mut all, mut buffer) = (Body::new(head.length()?), Vec::new(), vec![0; 64 * 1024]);
        while !body.is_over() && all.len() < MOST {
            let count = body.read(&mut wire, &mut buffer).await?;
            all.extend_from_slice(&buffer[..count]);
        }
        std::io::Result::Ok((head.status, all))
    };
    let asked = tokio::time::timeout(PATIENCE, ask).await;
    match asked {
        Ok(Ok((200, body))) => Ok(body),
        Ok(Ok((status, _))) => Err(format!("{question} at {address} answered {status}")),
        Ok(Err(error)) => Err(format!("{question} at {address}: {error}")),
        Err(_) => Err(format!("{question} at {address} was not answered in time")),
    }
}

/// The proxy's statistics.
pub(crate) async fn stats(proxy: &str, path: &str, authorization: Option<&str>) -> Result<Stats, String> {
    let body = get(proxy, path, authorization).await?;
    serde_json::from_slice(&body)
        .map_err(|error| format!("http://{proxy}{path} has no statistics of netdrift: {error}"))
}

/// A mock upstream's counts.
pub(crate) async fn counts(upstream: &str) -> Result<Counts, String> {
    let body = get(upstream, "/status", None).await?;
    serde_json::from_slice(&body).map_err(|error| format!("http://{upstream}/status is no mock upstream's: {error}"))
}

/// The lines of a journal whose ids begin with `prefix`.
pub(crate) fn entries(journal: &str, prefix: &str) -> Result<Vec<Entry>, String> {
    #[derive(Deserialize)]
    struct Line {
        event: String,
        id: Option<String>,
        status: Option<u16>,
        outcome: Option<String>,
    }
    let mut entries = Vec::new();
    for (number, line) in journal.lines().enumerate() {
        let line: Line = serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))?;
        if line.event == "request"
            && let Some(id) = line.id.filter(|id| id.starts_with(prefix))
        {
            let tried = line.outcome.is_some_and(|outcome| matches!(outcome.as_str(), "completed" | "aborted"));
            entries.push(Entry { id, served: tried && line.status.is_some_and(|status| (200..500).contains(&status)) });
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_that_counts_anew_has_no_difference() {
        let counts = |requests, open_requests, refused| Counts {
            requests,
            open_requests,
            refused,
            unreachable: 1,
            entries_dropped: 0,
        };
        assert_eq!(counts(9, 1, 2).since(&counts(4, 2, 0)), Some((4, 2)));
        assert_eq!(counts(3, 0, 0).since(&counts(4, 0, 0)), None);
    }

    #[test]
    fn only_our_requests_are_read_from_a_journal_and_only_answered_ones_were_served() {
        let journal = [
            r#"{"seq":1,"event":"opened","connection":1}"#,
            r#"{"seq":2,"event":"request","id":"rab1","status":200,"outcome":"completed"}"#,
            r#"{"seq":3,"event":"request","id":"rab2","status":502,"outcome":"unreachable"}"#,
            r#"{"seq":4,"event":"request","id":"zz1","status":200,"outcome":"completed"}"#,
            r#"{"seq":5,"event":"request","id":"rab3","status":null,"outcome":"aborted"}"#,
        ];
        let found = entries(&journal.join("\n"), "rab").unwrap();
        let found: Vec<_> = found.iter().map(|entry| (entry.id.as_str(), entry.served)).collect();
        assert_eq!(found, [("rab1", true), ("rab2", false), ("rab3", false)]);
        assert!(entries("half a line", "rab").unwrap_err().starts_with("line 1"));
    }
}
