//! Some commands read what other runs have written: results of shards, and what was reached.

use std::path::PathBuf;

use simulator::explore::coverage::{Gaps, Reached};
use simulator::explore::results::{self, Results, Sometimes, Source};
use simulator::judge::Verdict;
use simulator::report;

use super::arguments::{Coverage, Merge};
use super::failure::{DATA, Failed, unwritten};
use super::files::print;

/// Reads all of `files`, or says everything that is wrong with any.
fn read(files: &[PathBuf]) -> Result<Vec<(PathBuf, Results)>, Failed> {
    let mut wrong = String::new();
    let mut all = Vec::new();
    for file in files {
        match results::read(file) {
            Ok(results) => all.push((file.clone(), results)),
            Err(problem) => wrong.push_str(&format!("{problem}\n")),
        }
    }
    if wrong.is_empty() { Ok(all) } else { Err(Failed { code: DATA, text: wrong }) }
}

/// Puts the results of shards together and judges them as one.
pub(crate) fn merge(args: &Merge) -> Result<u8, Failed> {
    let whole = results::merge(read(&args.results)?)
        .map_err(|problems| Failed { code: DATA, text: problems.iter().map(|one| format!("{one}\n")).collect() })?;
    if let Some(file) = &args.json {
        std::fs::write(file, report::json(&whole)).map_err(|error| unwritten(file, &error))?;
    }
    let mut failed = 0;
    for outcome in whole.failed() {
        failed += u64::from(outcome.verdict != Verdict::Unsupported);
        print(&format!("{:<11} {} seed {}\n", outcome.verdict.as_str(), outcome.scenario, outcome.seed))?;
        for violation in &outcome.violations {
            print(&format!("  {}: {}\n", violation.of, violation.text))?;
        }
    }
    for (one, violation) in whole.sometimes.iter().filter_map(|one: &Sometimes| Some((one, one.violation()?))) {
        print(&format!("{:<11} {}: {}: {}\n", "violated", one.scenario, violation.of, violation.text))?;
    }
    let swept = if whole.source == Source::Sweep { whole.reached.clone() } else { Reached::new() };
    print(&report::coverage(&whole.reached, &swept))?;
    print(&report::laws(&whole.laws))?;
    print(&format!("{} runs, {failed} failed\n", whole.runs))?;
    Ok(whole.worst().exit_code())
}

/// Prints what no run has reached, and judges that if it is asked to.
pub(crate) fn coverage(args: &Coverage) -> Result<u8, Failed> {
    let (mut reached, mut swept) = (Reached::new(), Reached::new());
    for (_, results) in read(&args.results)? {
        for (item, runs) in results.reached {
            if results.source == Source::Sweep {
                *swept.entry(item.clone()).or_default() += runs;
            }
            *reached.entry(item).or_default() += runs;
        }
    }
    print(&report::coverage(&reached, &swept))?;
    let gaps = Gaps::of(&reached, &swept);
    if !args.strict || gaps.is_empty() {
        return Ok(0);
    }
    let (unreached, listed) = (gaps.unreached.len(), gaps.listed.len());
    print(&format!("{unreached} not reached and not listed as unreachable, {listed} listed and reached by a sweep\n"))?;
    // More runs may reach the former; of the latter only the list can be mended.
    Ok(if listed > 0 { DATA } else { Verdict::Violated.exit_code() })
}
