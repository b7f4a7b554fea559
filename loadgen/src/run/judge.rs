//! Gives the verdicts that are wanted on a run, each by the witnesses that it needs.

use tokio::time::{Instant, sleep};

use super::record::RunRecord;
use super::sample::{CLOSE_SAMPLING, REST};
use super::settings::Settings;
use super::witnesses::weighted_upstreams;
use crate::client::{Failure, FailureKind};
use crate::report::LoadReport;
use crate::sockets::get;
use crate::verdict::Verdict;
use crate::verdict::failover::{self, VictimSample};
use crate::verdict::ledger::{self, ProxyCounts};
use crate::verdict::periods::{by_statistics, is_one_period};
use crate::verdict::threshold::Threshold;
use crate::verdict::weights::{self, HealthPeriod, UpstreamShare};
use crate::watch::{JournalEntry, journal_entries, upstream_counts};

/// Puts all verdicts into `report`.
///
/// # Errors
/// A witness that is needed does not answer.
pub(super) async fn judge(settings: &Settings, record: RunRecord, report: &mut LoadReport) -> Result<(), String> {
    if report.began == 0 {
        report.verdicts.push(Verdict::new("load", false, "no request began"));
    }
    let starved = |(failure, _): &(&Failure, &u64)| failure.kind == FailureKind::Local;
    let starved: u64 = record.tally.failed.iter().filter(starved).map(|(_, count)| count).sum();
    if starved > 0 {
        let text =
            format!("{starved} requests were never sent for want of descriptors, ports or memory of loadgen's own");
        report.verdicts.push(Verdict::new("load", false, text));
    }
    if report.ok == 0 && report.errors > 0 {
        report.verdicts.push(Verdict::new("load", false, format!("not one of {} requests went well", report.errors)));
    }
    if settings.verdicts.weights {
        report.verdicts.extend(weights_verdicts(settings, &record).await?);
    }
    if settings.verdicts.ledger {
        report.verdicts.extend(ledger_verdicts(settings, &record).await?);
    }
    if settings.verdicts.failover {
        failover_verdicts(settings, &record, report);
    }
    report.verdicts.extend(errors_verdict(settings, report));
    let expected: Vec<_> = settings
        .verdicts
        .thresholds
        .iter()
        .map(|threshold| threshold.judge(report.figure(threshold.metric())))
        .collect();
    report.verdicts.extend(expected);
    if report.saturated && settings.verdicts.thresholds.iter().any(|threshold| threshold.is_on_latency()) {
        report.notes.push("thresholds on latency were judged on a saturated load generator".to_owned());
    }
    Ok(())
}

/// Judges failed requests by the bound of a run that was given no other: none. Those from a fault on are judged by
/// `--verify-failover`, where it is asked for.
fn errors_verdict(settings: &Settings, report: &LoadReport) -> Option<Verdict> {
    let on_errors = |threshold: &Threshold| matches!(threshold.metric(), "errors" | "error_rate" | "ok");
    if settings.verdicts.thresholds.iter().any(on_errors) {
        return None;
    }
    let judged = report.errors.saturating_sub(report.failover.map_or(0, |figures| figures.harmed));
    if judged == 0 {
        return None;
    }
    let text = format!(
        "{judged} of {} requests failed, bound 0; --expect on errors, error_rate or ok sets another",
        report.ok + report.errors
    );
    Some(Verdict::new("errors", false, text))
}

async fn weights_verdicts(settings: &Settings, record: &RunRecord) -> Result<Vec<Verdict>, String> {
    if settings.workload.exit_from.is_some() {
        if record.fault.is_some() || !is_one_period(&record.snapshots) {
            let text =
                "there was a fault, or health changed, in mid-run: answers from before and after must not be added up";
            return Ok(vec![Verdict::not_judgeable("weights by exit", text)]);
        }
        let weights = &settings.witnesses.weights;
        let share = |(name, weight): &(String, u64)| UpstreamShare {
            name: name.clone(),
            weight: *weight,
            picked: record.tally.exits.get(name).copied().unwrap_or(0),
        };
        let known: Vec<_> = weights.iter().map(share).collect();
        let strangers = record.tally.exits.values().sum::<u64>() - known.iter().map(|share| share.picked).sum::<u64>();
        return Ok(vec![weights::consistent(&known, strangers)]);
    }
    let Some(upstreams) = weighted_upstreams(settings) else { return Ok(by_statistics(&record.snapshots)) };
    let name = "weights by upstreams' counts";
    if !is_one_period(&record.snapshots) {
        let text = "health or configuration changed in mid-run, and their counts can't be told apart by period: \
                    leave --upstream's weights out to judge by the proxy's statistics";
        return Ok(vec![Verdict::not_judgeable(name, text)]);
    }
    let mut period = HealthPeriod { label: "by upstreams' counts".to_owned(), shares: Vec::new(), slack: 0 };
    for ((upstream, weight), before) in upstreams.into_iter().zip(&record.counts_before) {
        let after = upstream_counts(upstream).await?;
        let Some((picked, refused)) = after.since(before) else {
            let text = format!("{upstream} counts less than before: it was started again in mid-run");
            return Ok(vec![Verdict::not_judgeable(name, text)]);
        };
        // Requests that an upstream turned away may have been tried elsewhere.
        period.slack += refused;
        period.shares.push(UpstreamShare { name: upstream.to_owned(), weight, picked });
    }
    Ok(vec![weights::exact(&period)])
}

async fn ledger_verdicts(settings: &Settings, record: &RunRecord) -> Result<Vec<Verdict>, String> {
    let lines = record.tally.ledger.as_deref().unwrap_or_default();
    let counted = match record.snapshots.as_slice() {
        [first, .., last] => {
            let (first, last) = (&first.statistics, &last.statistics);
            Some(ProxyCounts {
                success: last.total.success_requests.saturating_sub(first.total.success_requests),
                failed: last.total.failed_requests.saturating_sub(first.total.failed_requests),
                rejected: last.rejected_requests.saturating_sub(first.rejected_requests),
            })
        }
        _ => None,
    };
    let by_counts = |entries: &[JournalEntry]| counted.map(|counted| ledger::by_counts(lines, entries, counted));
    if settings.witnesses.journals.is_empty() && settings.witnesses.upstreams.is_empty() {
        let text = "no journal to look ids up in: give --upstream or --journal";
        return Ok(by_counts(&[]).into_iter().chain([Verdict::new("ledger ids", false, text)]).collect());
    }
    let turned_away = counted.map_or(0, |counted| counted.turned_away_unseen(lines));
    // An upstream writes its line when its side of a tunnel has ended, which may be after the client's.
    let until = Instant::now() + REST;
    loop {
        let journals = journals(settings, record).await?;
        let read = journals.iter().map(|journal| journal_entries(journal, &settings.workload.id_prefix));
        let judged = read.collect::<Result<Vec<_>, _>>().map(|entries| {
            let entries = entries.concat();
            let by_ids = ledger::by_ids(lines, &entries, turned_away);
            by_counts(&entries).into_iter().chain(by_ids).collect::<Vec<_>>()
        });
        let balanced = matches!(&judged, Ok(verdicts) if verdicts.iter().all(Verdict::passed));
        if balanced || Instant::now() > until {
            return judged.map_err(|error| format!("a journal can't be read: {error}"));
        }
        sleep(CLOSE_SAMPLING).await;
    }
}

/// The journals' text: from files where there are some, else asked of the upstreams.
async fn journals(settings: &Settings, record: &RunRecord) -> Result<Vec<String>, String> {
    let mut journals = Vec::new();
    for path in &settings.witnesses.journals {
        journals.push(std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    if !journals.is_empty() {
        return Ok(journals);
    }
    for ((upstream, _), before) in settings.witnesses.upstreams.iter().zip(&record.counts_before) {
        if upstream_counts(upstream).await?.entries_dropped > before.entries_dropped {
            return Err(format!("{upstream} has dropped lines of its journal; give the journal's file by --journal"));
        }
        let body = get(upstream, "/journal", None).await?;
        journals.push(String::from_utf8_lossy(&body).into_owned());
    }
    Ok(journals)
}

fn failover_verdicts(settings: &Settings, record: &RunRecord, report: &mut LoadReport) {
    let victim = settings.victim.as_deref().unwrap_or_default();
    let Some((began, ended)) = record.fault else {
        report.verdicts.push(Verdict::new("failover", false, "the run was over before the fault was due (--fault-at)"));
        return;
    };
    let samples: Vec<_> = record.snapshots.iter().filter_map(|snapshot| VictimSample::of(victim, snapshot)).collect();
    let figures =
        failover::figures(&samples, began, ended, record.tally.errors().saturating_sub(record.errors_before_fault));
    let bound = |metric: &str| settings.verdicts.thresholds.iter().any(|threshold| threshold.metric() == metric);
    let own = figures.judge(ended.is_some()).into_iter();
    // A threshold in words takes the place of the built-in bound.
    report.verdicts.extend(own.filter(|verdict| !(bound("harmed") && verdict.name == "failover harmed")));
    report.failover = Some(figures);
}
