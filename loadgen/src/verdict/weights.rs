//! Judges the shares of upstreams against their weights.
//!
//! Where every pick is known, smooth weighted choice has an exact bound (ARCHITECTURE.md, "The pure core"): within a period
//! of unchanged health |picked · W − k · weight| is below 2 · W, and exactly 0 where k is a multiple of W. Where only
//! answers say who carried them, a chi-square test says whether they are consistent with the weights, never that they are exact.

use super::Verdict;
use super::significance::{chi_square_above, chi_square_bound, detectable};

/// The level of the chi-square test.
pub(crate) const LEVEL: f64 = 0.001;

/// Where more than one pick in so many may be off, the bound says nothing.
const MOST_SLACK: u64 = 20;

/// How often an upstream was picked, as a witness counts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamShare {
    /// Its name.
    pub(crate) name: String,
    /// Its weight, 0 while it takes no traffic.
    pub(crate) weight: u64,
    /// Requests that it was picked for.
    pub(crate) picked: u64,
}

/// A part of a run in which no upstream's health changed, nor the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthPeriod {
    /// Where in the run, for people.
    pub(crate) label: String,
    /// All upstreams.
    pub(crate) shares: Vec<UpstreamShare>,
    /// By how many picks the counts may be off: attempts that failed over, and those in flight at either end.
    pub(crate) slack: u64,
}

/// Judges one period by the exact bound.
pub(crate) fn exact(period: &HealthPeriod) -> Verdict {
    let name = format!("weights {}", period.label);
    let divisor = period.shares.iter().fold(0, |divisor, share| gcd(divisor, share.weight));
    if divisor == 0 {
        return Verdict::not_judgeable(name, "no upstream has a weight: nothing to compare with");
    }
    let sum: u64 = period.shares.iter().map(|share| share.weight / divisor).sum();
    let picked: u64 = period.shares.iter().map(|share| share.picked).sum();
    if picked == 0 {
        return Verdict::not_judgeable(name, "no request was seen at any upstream");
    }
    let whole = picked.is_multiple_of(sum) && period.slack == 0;
    let mut passed = true;
    let mut parts = Vec::new();
    for share in &period.shares {
        let weight = share.weight / divisor;
        let off = (i128::from(share.picked) * i128::from(sum) - i128::from(picked) * i128::from(weight)).unsigned_abs();
        let kept = if whole { off == 0 } else { off < u128::from(sum) * u128::from(2 + period.slack) };
        let idle = weight == 0 && share.picked > period.slack;
        passed &= kept && !idle;
        let percent = |part: u64, of: u64| part as f64 * 100.0 / of as f64;
        parts.push(format!(
            "{} {} picks ({:.3} % against {:.3} %)",
            share.name,
            share.picked,
            percent(share.picked, picked),
            percent(weight, sum)
        ));
    }
    let bound = if whole {
        format!("{picked} picks are whole rounds of {sum}: each exactly its weight")
    } else {
        format!("|picked · {sum} − {picked} · weight| below {}", u128::from(sum) * u128::from(2 + period.slack))
    };
    let text = format!("{}; bound: {bound}", parts.join(", "));
    if passed && period.slack * MOST_SLACK > picked {
        let text = format!(
            "{} failed attempts and requests in flight among {picked} picks leave too wide a bound; {text}",
            period.slack
        );
        return Verdict::not_judgeable(name, text);
    }
    Verdict::new(name, passed, text)
}

/// Judges the answers of a pool whose picks can't be seen; `strangers` came through exits without a weight.
pub(crate) fn consistent(shares: &[UpstreamShare], strangers: u64) -> Verdict {
    let name = "weights by exit";
    let weights: u64 = shares.iter().map(|share| share.weight).sum();
    let seen: u64 = shares.iter().map(|share| share.picked).sum();
    if strangers > 0 {
        return Verdict::new(name, false, format!("{strangers} answers came through exits that have no --weight"));
    }
    let weighted: Vec<_> = shares.iter().filter(|share| share.weight > 0).collect();
    let expected = |share: &UpstreamShare| seen as f64 * share.weight as f64 / weights as f64;
    if weighted.len() < 2 {
        return Verdict::not_judgeable(name, "fewer than two exits have a weight: nothing to compare");
    }
    let thinnest = weighted.iter().min_by_key(|share| share.weight);
    if let Some(thin) = thinnest.filter(|share| expected(share) < 5.0) {
        let least = (5 * weights).div_ceil(thin.weight);
        return Verdict::not_judgeable(
            name,
            format!("too few answers ({seen}): {} needs {least} for 5 expected", thin.name),
        );
    }
    if let Some(idle) = shares.iter().find(|share| share.weight == 0 && share.picked > 0) {
        return Verdict::new(name, false, format!("{} has weight 0 and carried {} answers", idle.name, idle.picked));
    }
    let statistic: f64 =
        weighted.iter().map(|share| (share.picked as f64 - expected(share)).powi(2) / expected(share)).sum();
    let freedom = (weighted.len() - 1) as f64;
    let chance = chi_square_above(statistic, freedom);
    let bound = chi_square_bound(LEVEL, freedom);
    let extra = detectable(LEVEL, freedom);
    let bias = |share: &&UpstreamShare| {
        let part = share.weight as f64 / weights as f64;
        (extra * part * (1.0 - part) / seen as f64).sqrt() * 100.0
    };
    let bias = weighted.iter().map(bias).fold(0.0, f64::max);
    let passed = statistic <= bound;
    let word = if passed { "consistent with" } else { "not consistent with" };
    let text = format!(
        "{word} the weights: chi-square {statistic:.2}, bound {bound:.2} (level {LEVEL}, {freedom} degrees, p = {chance:.4}) over \
         {seen} answers; a bias of {bias:.2} points of a share would be found four times in five"
    );
    Verdict::new(name, passed, text)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Finding;

    fn shares(of: &[(u64, u64)]) -> Vec<UpstreamShare> {
        of.iter()
            .enumerate()
            .map(|(n, (weight, picked))| UpstreamShare { name: format!("u{n}"), weight: *weight, picked: *picked })
            .collect()
    }

    fn passes(of: &[(u64, u64)], slack: u64) -> bool {
        exact(&HealthPeriod { label: "all".into(), shares: shares(of), slack }).passed()
    }

    #[test]
    fn whole_rounds_must_be_exact() {
        let right = [(10, 10_000), (20, 20_000), (30, 30_000), (40, 40_000)];
        assert!(passes(&right, 0));
        assert!(!passes(&[(10, 10_001), (20, 19_999), (30, 30_000), (40, 40_000)], 0));
        assert!(passes(&[(10, 10_001), (20, 19_999), (30, 30_000), (40, 40_000)], 1));
    }

    #[test]
    fn a_part_of_a_round_may_be_off_by_less_than_two() {
        assert!(passes(&[(3, 301), (1, 100)], 0));
        assert!(passes(&[(3, 302), (1, 99)], 0));
        assert!(!passes(&[(3, 303), (1, 98)], 0));
        assert!(!passes(&[(1, 5), (0, 1)], 0));
        assert!(passes(&[(1, 20), (1, 20)], 2));
        assert!(!passes(&[(0, 0)], 0) && !passes(&[(1, 0)], 0));
    }

    #[test]
    fn many_failed_attempts_leave_nothing_to_judge() {
        let finding =
            |of: &[(u64, u64)], slack| exact(&HealthPeriod { label: "all".into(), shares: shares(of), slack }).finding;
        assert_eq!(finding(&[(1, 20), (1, 20)], 3), Finding::NotJudgeable);
        // The bound is wide, and missed nevertheless.
        assert_eq!(finding(&[(1, 40), (1, 0)], 3), Finding::Missed);
        assert_eq!(finding(&[(0, 0)], 0), Finding::NotJudgeable);
    }

    #[test]
    fn the_test_finds_a_bias_and_refuses_what_it_cannot_judge() {
        assert!(consistent(&shares(&[(3, 7480), (1, 2520)]), 0).passed());
        let biased = consistent(&shares(&[(3, 7200), (1, 2800)]), 0);
        assert!(!biased.passed() && biased.text.contains("not consistent"), "{}", biased.text);
        assert!(consistent(&shares(&[(3, 3), (1, 1)]), 0).text.contains("too few answers (4): u1 needs 20"));
        assert!(!consistent(&shares(&[(3, 7500), (1, 2500)]), 1).passed());
    }
}
