//! Which verdicts are wanted, and what each needs.

use std::time::Duration;

use tokio::time::Instant;

use super::look::{CLOSE_LOOK, REST};
use super::record::Ran;
use super::settings::Settings;
use crate::client::{Failure, Kind};
use crate::report::Report;
use crate::sockets::get;
use crate::verdict::ledger::{self, Counted};
use crate::verdict::periods::{by_stats, is_one_period};
use crate::verdict::weights::{self, Period, Share};
use crate::verdict::{Verdict, failover};
use crate::watch::{Stats, counts, entries};

/// Whether a verdict can't be given without the proxy's statistics.
pub(super) fn needs_stats(settings: &Settings) -> bool {
    let by_stats = settings.workload.exit_from.is_none() && weighted_upstreams(settings).is_none();
    settings.verify.ledger || settings.verify.failover || (settings.verify.weights && by_stats)
}

/// Checks, before any load, that the witnesses can say what will be asked of them. `first` is what the proxy says of itself.
///
/// # Errors
/// A sentence that says which flag names something that is not there.
pub(super) fn check_witnesses(settings: &Settings, first: Option<&Stats>) -> Result<(), String> {
    for path in &settings.witnesses.journals {
        std::fs::File::open(path).map_err(|error| format!("--journal {}: {error}", path.display()))?;
    }
    let upstreams = first.map(|stats| &stats.total.upstream_metrics);
    if let (Some(victim), Some(upstreams)) = (&settings.victim, upstreams)
        && !upstreams.iter().any(|upstream| upstream.is_at(victim))
    {
        let known: Vec<_> = upstreams.iter().map(|upstream| upstream.url.as_str()).collect();
        return Err(format!("--victim {victim}: the proxy has no such upstream; it has {}", known.join(", ")));
    }
    Ok(())
}

/// The mock upstreams with their weights, if all have one.
fn weighted_upstreams(settings: &Settings) -> Option<Vec<(&str, u64)>> {
    let upstreams = &settings.witnesses.upstreams;
    let all: Option<Vec<_>> = upstreams.iter().map(|(name, weight)| Some((name.as_str(), (*weight)?))).collect();
    all.filter(|all| !all.is_empty())
}

/// Puts all verdicts into `report`.
///
/// # Errors
/// A witness that is needed does not answer.
pub(super) async fn judge(settings: &Settings, ran: Ran, report: &mut Report) -> Result<(), String> {
    if report.began == 0 {
        report.verdicts.push(Verdict::new("load", false, "no request began"));
    }
    let starved = |(failure, _): &(&Failure, &u64)| failure.kind == Kind::Local;
    let starved: u64 = ran.tally.failed.iter().filter(starved).map(|(_, count)| count).sum();
    if starved > 0 {
        let text =
            format!("{starved} requests were never sent for want of descriptors, ports or memory of loadgen's own");
        report.verdicts.push(Verdict::new("load", false, text));
    }
    if report.ok == 0 && report.errors > 0 {
        report.verdicts.push(Verdict::new("load", false, format!("not one of {} requests went well", report.errors)));
    }
    if settings.verify.weights {
        report.verdicts.extend(weights_verdicts(settings, &ran).await?);
    }
    if settings.verify.ledger {
        report.verdicts.extend(ledger_verdicts(settings, &ran).await?);
    }
    if settings.verify.failover {
        failover_verdicts(settings, &ran, report);
    }
    let expected: Vec<_> =
        settings.verify.expects.iter().map(|expect| expect.judge(report.figure(expect.metric()))).collect();
    report.verdicts.extend(expected);
    if report.saturated && settings.verify.expects.iter().any(|expect| expect.is_of_latency()) {
        report.notes.push("thresholds on latency were judged on a saturated load generator".to_owned());
    }
    Ok(())
}

async fn weights_verdicts(settings: &Settings, ran: &Ran) -> Result<Vec<Verdict>, String> {
    if settings.workload.exit_from.is_some() {
        if ran.fault.is_some() || !is_one_period(&ran.looks) {
            let text =
                "there was a fault, or health changed, in mid-run: answers from before and after must not be added up";
            return Ok(vec![Verdict::new("weights by exit", false, text)]);
        }
        let weights = &settings.witnesses.weights;
        let share = |(name, weight): &(String, u64)| Share {
            name: name.clone(),
            weight: *weight,
            picked: ran.tally.exits.get(name).copied().unwrap_or(0),
        };
        let known: Vec<_> = weights.iter().map(share).collect();
        let strangers = ran.tally.exits.values().sum::<u64>() - known.iter().map(|share| share.picked).sum::<u64>();
        return Ok(vec![weights::consistent(&known, strangers)]);
    }
    let Some(upstreams) = weighted_upstreams(settings) else { return Ok(by_stats(&ran.looks)) };
    let name = "weights by upstreams' counts";
    if !is_one_period(&ran.looks) {
        let text = "health or configuration changed in mid-run, and their counts can't be told apart by period: \
                    leave --upstream's weights out to judge by the proxy's statistics";
        return Ok(vec![Verdict::new(name, false, text)]);
    }
    let mut period = Period { label: "by upstreams' counts".to_owned(), shares: Vec::new(), slack: 0 };
    for ((upstream, weight), before) in upstreams.into_iter().zip(&ran.before) {
        let after = counts(upstream).await?;
        let Some((picked, refused)) = after.since(before) else {
            let text = format!("{upstream} counts less than before: it was started again in mid-run");
            return Ok(vec![Verdict::new(name, false, text)]);
        };
        // Requests that an upstream turned away may have been tried elsewhere.
        period.slack += refused;
        period.shares.push(Share { name: upstream.to_owned(), weight, picked });
    }
    Ok(vec![weights::exact(&period)])
}

async fn ledger_verdicts(settings: &Settings, ran: &Ran) -> Result<Vec<Verdict>, String> {
    let lines = ran.tally.ledger.as_deref().unwrap_or_default();
    let mut verdicts = Vec::new();
    if let ([(_, first), ..], Some((_, last))) = (ran.looks.as_slice(), ran.looks.last()) {
        let counted = Counted {
            success: last.total.success_requests.saturating_sub(first.total.success_requests),
            failed: last.total.failed_requests.saturating_sub(first.total.failed_requests),
            rejected: last.rejected_requests.saturating_sub(first.rejected_requests),
        };
        verdicts.push(ledger::by_counts(lines, counted));
    }
    if settings.witnesses.journals.is_empty() && settings.witnesses.upstreams.is_empty() {
        let text = "no journal to look ids up in: give --upstream or --journal";
        verdicts.push(Verdict::new("ledger ids", false, text));
        return Ok(verdicts);
    }
    // An upstream writes its line when its side of a tunnel has ended, which may be after the client's.
    let until = Instant::now() + REST;
    let by_ids = loop {
        let journals = journals(settings, ran).await?;
        let read = journals.iter().map(|journal| entries(journal, &settings.workload.id_prefix));
        let judged = read.collect::<Result<Vec<_>, _>>().map(|entries| ledger::by_ids(lines, &entries.concat()));
        let balanced = matches!(&judged, Ok(verdicts) if verdicts.iter().all(|verdict| verdict.passed));
        if balanced || Instant::now() > until {
            break judged.map_err(|error| format!("a journal can't be read: {error}"))?;
        }
        tokio::time::sleep(CLOSE_LOOK).await;
    };
    verdicts.extend(by_ids);
    Ok(verdicts)
}

/// The journals' text: from files where there are some, else asked of the upstreams.
async fn journals(settings: &Settings, ran: &Ran) -> Result<Vec<String>, String> {
    let mut journals = Vec::new();
    for path in &settings.witnesses.journals {
        journals.push(std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    if !journals.is_empty() {
        return Ok(journals);
    }
    for ((upstream, _), before) in settings.witnesses.upstreams.iter().zip(&ran.before) {
        if counts(upstream).await?.entries_dropped > before.entries_dropped {
            return Err(format!("{upstream} has dropped lines of its journal; give the journal's file by --journal"));
        }
        let body = get(upstream, "/journal", None).await?;
        journals.push(String::from_utf8_lossy(&body).into_owned());
    }
    Ok(journals)
}

fn failover_verdicts(settings: &Settings, ran: &Ran, report: &mut Report) {
    let victim = settings.victim.as_deref().unwrap_or_default();
    let Some((began, ended)) = ran.fault else {
        report.verdicts.push(Verdict::new("failover", false, "the run was over before the fault was due (--fault-at)"));
        return;
    };
    let sample = |(at, stats): &(Duration, Stats)| {
        let upstream = stats.total.upstream_metrics.iter().find(|upstream| upstream.is_at(victim))?;
        let probe_in = upstream.probe_in_ms.map(Duration::from_millis);
        let (healthy, failed) = (upstream.healthy, upstream.failed_requests);
        Some(failover::Sample { at: *at, healthy, failed, probe_in })
    };
    let samples: Vec<_> = ran.looks.iter().filter_map(sample).collect();
    let figures = failover::figures(&samples, began, ended, ran.tally.errors().saturating_sub(ran.harmed_before));
    let bound = |metric: &str| settings.verify.expects.iter().any(|expect| expect.metric() == metric);
    let own = figures.judge(ended.is_some()).into_iter();
    // A threshold in words takes the place of the built-in bound.
    report.verdicts.extend(own.filter(|verdict| !(bound("harmed") && verdict.name == "failover harmed")));
    report.failover = Some(figures);
}
