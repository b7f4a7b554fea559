//! The ledger reconciles every request between the client, the proxy's statistics and the upstreams' journals.

use std::collections::{BTreeMap, BTreeSet};

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

impl ProxyCounts {
    fn sum(self) -> u64 {
        self.success + self.failed + self.rejected
    }

    /// Requests that it says it turned away, beyond those that the client of `lines` knows of.
    pub(crate) fn turned_away_unseen(self, lines: &[LedgerLine]) -> u64 {
        let refused = lines.iter().filter(|line| line.answer == ClientAnswer::Refused).count() as u64;
        (self.failed + self.rejected).saturating_sub(refused)
    }
}

/// Judges by ids: `lines` of the client against `entries` of the journals.
///
/// Lost: the client was served, and no journal says so; or it got no clear answer, and nobody accounts for that: no journal
/// knows the id, and `turned_away`, the requests that the proxy says it turned away beyond those that the client knows
/// of, are too few. Duplicated: served twice; what may be a probe of the proxy's own, which asks for targets that its clients have asked for,
/// is no service beside another. Unattributed: a journal served an id that the client did not send, or says it
/// was never answered.
pub(crate) fn by_ids(lines: &[LedgerLine], entries: &[JournalEntry], turned_away: u64) -> Vec<Verdict> {
    let known: BTreeSet<_> = entries.iter().map(|entry| entry.id.as_str()).collect();
    // By id: how often without doubt.
    let mut served = BTreeMap::<&str, u64>::new();
    for entry in entries.iter().filter(|entry| entry.served) {
        *served.entry(&entry.id).or_default() += u64::from(!entry.may_be_probe);
    }
    let (mut lost, mut duplicated, mut unattributed) = (Vec::new(), Vec::new(), Vec::new());
    let mut may_be_turned_away = turned_away;
    for line in lines {
        let id = line.id.as_str();
        match (served.remove(id), line.answer) {
            (None, ClientAnswer::Through) => lost.push(id),
            (None, ClientAnswer::Unclear) if !known.contains(id) => match may_be_turned_away.checked_sub(1) {
                Some(left) => may_be_turned_away = left,
                None => lost.push(id),
            },
            (Some(count), _) if count > 1 => duplicated.push(id),
            _ => {}
        }
    }
    unattributed.extend(served.into_keys());
    let judge = |name: &str, ids: Vec<&str>, what: &str| {
        let some = if ids.is_empty() { String::new() } else { format!(": {}", ids[..ids.len().min(5)].join(", ")) };
        Verdict::new(format!("ledger {name}"), ids.is_empty(), format!("{} {what}, bound 0{some}", ids.len()))
    };
    vec![
        judge("lost", lost, "requests that no upstream served and nobody accounts for"),
        judge("duplicated", duplicated, "requests were served more than once"),
        judge("unattributed", unattributed, "requests were served that this client did not send"),
    ]
}

/// Judges by counts: what the client saw against what the proxy counted.
///
/// The proxy counts every request once. One without a clear answer may be a success only where a journal of `entries`
/// says that an upstream served it.
pub(crate) fn by_counts(lines: &[LedgerLine], entries: &[JournalEntry], counted: ProxyCounts) -> Verdict {
    let of = |answer| lines.iter().filter(|line| line.answer == answer).count() as u64;
    let (through, refused) = (of(ClientAnswer::Through), of(ClientAnswer::Refused));
    let (unclear, withdrawn) = (of(ClientAnswer::Unclear), of(ClientAnswer::Withdrawn));
    let served: BTreeSet<_> = entries.iter().filter(|entry| entry.served).map(|entry| entry.id.as_str()).collect();
    let open = |line: &&LedgerLine| matches!(line.answer, ClientAnswer::Unclear | ClientAnswer::Withdrawn);
    let served = lines.iter().filter(open).filter(|line| served.contains(line.id.as_str())).count() as u64;
    let sent = through + refused + unclear;
    let passed =
        (through..=through + served).contains(&counted.success) && (sent..=sent + withdrawn).contains(&counted.sum());
    let text = format!(
        "the client got {through} answers, {refused} refusals, and of {unclear} requests nothing that is clear \
         ({served} of those without an answer were served by journals; {withdrawn} were never sent or given up); \
         the proxy counted {} successes, {} failures, {} rejected",
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
        JournalEntry { id: id.into(), served, may_be_probe: false }
    }

    fn probe(id: &str) -> JournalEntry {
        JournalEntry { may_be_probe: true, ..entry(id, true) }
    }

    fn failing(lines: &[LedgerLine], entries: &[JournalEntry]) -> Vec<String> {
        by_ids(lines, entries, 0).into_iter().filter(|verdict| !verdict.passed()).map(|verdict| verdict.name).collect()
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

    /// A proxy asks an upstream for what another has opened, to see whether it works again.
    #[test]
    fn a_probe_is_no_second_service_and_no_service_of_a_stranger() {
        let lines = [line("r1", true)];
        assert!(failing(&lines, &[entry("r1", true), probe("r1")]).is_empty());
        assert!(failing(&lines, &[probe("r1"), probe("r1")]).is_empty(), "a tunnel through which nothing was sent");
        assert_eq!(failing(&lines, &[entry("r1", true), entry("r1", true), probe("r1")]), ["ledger duplicated"]);
        assert_eq!(failing(&lines, &[entry("r1", true), probe("r9")]), ["ledger unattributed"]);
    }

    #[test]
    fn counts_must_agree() {
        let lines = [line("r1", true), line("r2", true), line("r3", false)];
        let counted = |success, failed, rejected| ProxyCounts { success, failed, rejected };
        assert!(by_counts(&lines, &[], counted(2, 1, 0)).passed());
        assert!(by_counts(&lines, &[], counted(2, 0, 1)).passed());
        assert!(!by_counts(&lines, &[], counted(1, 2, 0)).passed());
        assert!(!by_counts(&lines, &[], counted(2, 2, 0)).passed());
        assert!(!by_counts(&lines[..2], &[], counted(3, 0, 0)).passed());
    }

    #[test]
    fn a_request_without_an_answer_is_lost_unless_a_witness_accounts_for_it() {
        let unclear = |id: &str| LedgerLine { id: id.into(), answer: ClientAnswer::Unclear };
        let lost = |entries: &[JournalEntry], turned_away| {
            !by_ids(&[line("r1", true), unclear("r2")], &[&[entry("r1", true)], entries].concat(), turned_away)[0]
                .passed()
        };
        assert!(lost(&[], 0));
        assert!(!lost(&[], 1) && !lost(&[entry("r2", false)], 0) && !lost(&[entry("r2", true)], 0));
        let withdrawn = LedgerLine { id: "r3".into(), answer: ClientAnswer::Withdrawn };
        assert!(by_ids(&[withdrawn], &[], 0)[0].passed());
    }

    #[test]
    fn requests_without_an_answer_do_not_widen_the_bound_on_counts() {
        let unclear = |id: &str| LedgerLine { id: id.into(), answer: ClientAnswer::Unclear };
        let lines = [line("r1", true), unclear("r2"), unclear("r3")];
        let counted = |success, failed| ProxyCounts { success, failed, rejected: 0 };
        assert!(by_counts(&lines, &[], counted(1, 2)).passed());
        assert!(!by_counts(&lines, &[], counted(1, 1)).passed() && !by_counts(&lines, &[], counted(2, 1)).passed());
        assert!(by_counts(&lines, &[entry("r2", true)], counted(2, 1)).passed());
    }
}
