//! The ledger reconciles every request between the client, the proxy's statistics and the upstreams' journals.

use std::collections::BTreeMap;

use super::Verdict;
use crate::drive::{ClientAnswer, LedgerLine};
use crate::watch::JournalEntry;

/// How the proxy's counts moved during the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProxyCounts {
    /// Successes.
    pub(crate) success: u64,
    /// Failures.
    pub(crate) failed: u64,
    /// Refused by the proxy itself.
    pub(crate) rejected: u64,
}

/// Judges by ids: `lines` of the client against `entries` of the journals.
///
/// Lost: the client was served, no journal says so. Duplicated: served twice. Unattributed: a journal served an id that
/// the client did not send, or says it was never answered. Requests that the client gave up may stand in either.
pub(crate) fn by_ids(lines: &[LedgerLine], entries: &[JournalEntry]) -> Vec<Verdict> {
    let mut served = BTreeMap::<&str, u64>::new();
    for entry in entries.iter().filter(|entry| entry.served) {
        *served.entry(&entry.id).or_default() += 1;
    }
    let (mut lost, mut duplicated, mut unattributed) = (Vec::new(), Vec::new(), Vec::new());
    for line in lines {
        match served.remove(line.id.as_str()) {
            None if line.answer == ClientAnswer::Through => lost.push(line.id.as_str()),
            Some(count) if count > 1 => duplicated.push(line.id.as_str()),
            _ => {}
        }
    }
    unattributed.extend(served.into_keys());
    let judge = |name: &str, ids: Vec<&str>, what: &str| {
        let some = if ids.is_empty() { String::new() } else { format!(": {}", ids[..ids.len().min(5)].join(", ")) };
        Verdict::new(format!("ledger {name}"), ids.is_empty(), format!("{} {what}, bound 0{some}", ids.len()))
    };
    vec![
        judge("lost", lost, "requests were answered that no upstream served"),
        judge("duplicated", duplicated, "requests were served more than once"),
        judge("unattributed", unattributed, "requests were served that this client did not send"),
    ]
}

/// Judges by counts: what the client saw against what the proxy counted.
pub(crate) fn by_counts(lines: &[LedgerLine], counted: ProxyCounts) -> Verdict {
    let of = |answer| lines.iter().filter(|line| line.answer == answer).count() as u64;
    let (through, refused, unknown) = (of(ClientAnswer::Through), of(ClientAnswer::Refused), of(ClientAnswer::Unknown));
    let all = counted.success + counted.failed + counted.rejected;
    let passed = (through..=through + unknown).contains(&counted.success)
        && (through + refused..=through + refused + unknown).contains(&all);
    let text = format!(
        "the client got {through} answers and {refused} refusals, of {unknown} requests it can't tell; the proxy counted {} successes, {} failures, {} rejected",
        counted.success, counted.failed, counted.rejected
    );
    Verdict::new("ledger counts", passed, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, through: bool) -> LedgerLine {
        LedgerLine { id: id.into(), answer: if through { ClientAnswer::Through } else { ClientAnswer::Refused } }
    }

    fn entry(id: &str, served: bool) -> JournalEntry {
        JournalEntry { id: id.into(), served }
    }

    fn failing(lines: &[LedgerLine], entries: &[JournalEntry]) -> Vec<String> {
        by_ids(lines, entries).into_iter().filter(|verdict| !verdict.passed).map(|verdict| verdict.name).collect()
    }

    #[test]
    fn each_kind_of_mistake_is_found() {
        let lines = [line("r1", true), line("r2", true), line("r3", false)];
        let right = [entry("r1", false), entry("r1", true), entry("r2", true), entry("r3", false)];
        assert!(failing(&lines, &right).is_empty());
        assert_eq!(failing(&lines, &right[..2]), ["ledger lost"]);
        assert_eq!(failing(&lines[..1], &right), ["ledger unattributed"]);
        let twice = [entry("r1", true), entry("r1", true), entry("r2", true)];
        assert_eq!(failing(&lines, &twice), ["ledger duplicated"]);
    }

    #[test]
    fn counts_must_agree() {
        let lines = [line("r1", true), line("r2", true), line("r3", false)];
        let counted = |success, failed, rejected| ProxyCounts { success, failed, rejected };
        assert!(by_counts(&lines, counted(2, 1, 0)).passed);
        assert!(by_counts(&lines, counted(2, 0, 1)).passed);
        assert!(!by_counts(&lines, counted(1, 2, 0)).passed);
        assert!(!by_counts(&lines, counted(2, 2, 0)).passed);
        assert!(!by_counts(&lines[..2], counted(3, 0, 0)).passed);
    }
}
