//! What mock upstreams say: their counts and their journals.

use serde::Deserialize;

use crate::sockets::get;

/// A line of an upstream's journal that has our prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The request's id.
    pub id: String,
    /// The upstream answered 2xx to CONNECT, or a response of the target's.
    pub served: bool,
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
