//! Reads the counts and the journals of mock upstreams.

use serde::Deserialize;

use crate::sockets::get_json;

/// A request of ours in an upstream's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalEntry {
    /// The request's id.
    pub(crate) id: String,
    /// Whether the upstream answered 2xx to CONNECT, or passed a response of the target on.
    pub(crate) served: bool,
    /// Whether it may be a probe of the proxy: a CONNECT or HEAD for a target that the proxy knows from a client, with nothing sent behind
    /// it.
    pub(crate) may_be_probe: bool,
}

/// What a mock upstream counted since it was started.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct UpstreamCounts {
    pub(crate) requests: u64,
    pub(crate) open_requests: u64,
    pub(crate) refused: u64,
    pub(crate) unreachable: u64,
    pub(crate) entries_dropped: u64,
}

impl UpstreamCounts {
    /// Requests since `before`, and how many of them were turned away. `None`: it was started again in between.
    pub(crate) fn since(&self, before: &UpstreamCounts) -> Option<(u64, u64)> {
        let picked = (self.requests + self.open_requests).checked_sub(before.requests + before.open_requests)?;
        let refused = (self.refused + self.unreachable).checked_sub(before.refused + before.unreachable)?;
        Some((picked, refused))
    }
}

/// Asks a mock upstream for its counts.
pub(crate) async fn upstream_counts(upstream: &str) -> Result<UpstreamCounts, String> {
    get_json(upstream, "/status", None, "the counts of a mock upstream").await
}

/// Reads the requests off a journal whose ids begin with `prefix`.
pub(crate) fn journal_entries(journal: &str, prefix: &str) -> Result<Vec<JournalEntry>, String> {
    #[derive(Deserialize)]
    struct Line {
        event: String,
        id: Option<String>,
        status: Option<u16>,
        outcome: Option<String>,
        method: Option<String>,
        up: Option<Carried>,
    }
    #[derive(Deserialize)]
    struct Carried {
        bytes: u64,
    }
    let mut entries = Vec::new();
    for (number, line) in journal.lines().enumerate() {
        let line: Line = serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))?;
        if line.event == "request"
            && let Some(id) = line.id.filter(|id| id.starts_with(prefix))
        {
            let tried = line.outcome.is_some_and(|outcome| matches!(outcome.as_str(), "completed" | "aborted"));
            let asks = line.method.is_some_and(|method| matches!(method.as_str(), "CONNECT" | "HEAD"));
            entries.push(JournalEntry {
                id,
                may_be_probe: asks && line.up.is_some_and(|up| up.bytes == 0),
                served: tried && line.status.is_some_and(|status| (200..500).contains(&status)),
            });
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_that_counts_anew_has_no_difference() {
        let counts = |requests, open_requests, refused| UpstreamCounts {
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
            r#"{"seq":6,"event":"request","id":"rab4","method":"CONNECT","up":{"bytes":0},"status":200,"outcome":"completed"}"#,
            r#"{"seq":7,"event":"request","id":"rab5","method":"CONNECT","up":{"bytes":1},"status":200,"outcome":"completed"}"#,
            r#"{"seq":8,"event":"request","id":"rab6","method":"GET","up":{"bytes":0},"status":200,"outcome":"completed"}"#,
        ];
        let found = journal_entries(&journal.join("\n"), "rab").unwrap();
        let found: Vec<_> = found.iter().map(|one| (one.id.as_str(), one.served, one.may_be_probe)).collect();
        let sure = |id, served| (id, served, false);
        assert_eq!(found[..3], [sure("rab1", true), sure("rab2", false), sure("rab3", false)]);
        assert_eq!(found[3..], [("rab4", true, true), sure("rab5", true), sure("rab6", true)]);
        assert!(journal_entries("half a line", "rab").unwrap_err().starts_with("line 1"));
    }
}
