//! Figures of many seeds are held against each other: each seed's run under the candidate beside the same seed's run as it was.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::measure::Figures;

/// A difference is real if chance makes one so one-sided no more often than this.
pub const LEVEL: f64 = 0.01;

/// What a figure was over the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// 5 % of the runs are below.
    pub low: f64,
    /// 5 % of the runs are above.
    pub high: f64,
    /// Runs that have this figure.
    pub runs: usize,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let rank = |part: f64| values[(part * last as f64).round() as usize];
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Some(Spread { mean, low: rank(0.05), high: rank(0.95), runs: values.len() })
    }
}

/// A figure as it was, and under each candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// Its name.
    pub figure: String,
    /// Under the settings of the day.
    pub as_it_was: Option<Spread>,
    /// Under the candidates', in their order.
    pub candidates: Vec<Under>,
}

/// A figure under a candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Under {
    /// What it was.
    pub spread: Option<Spread>,
    /// How likely chance makes a difference as one-sided (two-sided sign test of the seeds in which it differs).
    pub chance: f64,
    /// Whether it differs from how it was by more than chance.
    pub real: bool,
}

/// Compares runs of the same seeds: `was` under the settings of the day, and those of each candidate.
pub(super) fn compare(was: &[Figures], candidates: &[Vec<Figures>]) -> Vec<Compared> {
    let names: BTreeSet<&String> = was.iter().chain(candidates.iter().flatten()).flat_map(Figures::keys).collect();
    let all =
        |runs: &[Figures], name: &String| Spread::of(runs.iter().filter_map(|run| run.get(name).copied()).collect());
    let compared = names.into_iter().map(|name| {
        let under = candidates.iter().map(|runs| {
            let pairs = was.iter().zip(runs).filter_map(|(one, other)| Some((*one.get(name)?, *other.get(name)?)));
            let chance = sign_test(pairs);
            Under { spread: all(runs, name), chance, real: chance <= LEVEL }
        });
        Compared { figure: name.clone(), as_it_was: all(was, name), candidates: under.collect() }
    });
    compared.collect()
}

/// How often chance makes as many of the pairs that differ do so in one direction.
fn sign_test(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut up, mut down) = (0_u32, 0_u32);
    for (one, other) in pairs {
        up += u32::from(other > one);
        down += u32::from(other < one);
    }
    let (all, less) = (up + down, up.min(down));
    // Logarithms, because 2^-all is no number where there are many.
    let mut choose = 0.0;
    let mut sum = 0.0;
    for k in 0..=less {
        sum += f64::exp(choose - f64::from(all) * f64::ln(2.0));
        choose += f64::ln(f64::from(all - k)) - f64::ln(f64::from(k + 1));
    }
    (2.0 * sum).min(1.0)
}

/// A bound on the mean of a figure, such as `harmed<=10`.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    figure: String,
    at_most: bool,
    value: f64,
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("must be like \"harmed<=10\" or \"share_u1>=0.2\" (got {text:?})");
        let (at, at_most) = match (text.find("<="), text.find(">=")) {
            (Some(at), None) => (at, true),
            (None, Some(at)) => (at, false),
            _ => return Err(wrong()),
        };
        let value = text[at + 2..].trim().parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(wrong)?;
        let figure = text[..at].trim();
        if figure.is_empty() { Err(wrong()) } else { Ok(Bound { figure: figure.to_owned(), at_most, value }) }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.figure, if self.at_most { "<=" } else { ">=" }, self.value)
    }
}

impl Bound {
    /// Why it does not hold under the candidate at that place, if it does not. A figure that nobody has holds no bound.
    pub fn broken(&self, compared: &[Compared], candidate: usize) -> Option<String> {
        let found = compared.iter().find(|one| one.figure == self.figure);
        let Some(spread) = found.and_then(|one| one.candidates.get(candidate)?.spread) else {
            let names: Vec<&str> = compared.iter().map(|one| one.figure.as_str()).collect();
            return Some(format!("{self}: there is no such figure; there are {}", names.join(", ")));
        };
        let holds = if self.at_most { spread.mean <= self.value } else { spread.mean >= self.value };
        (!holds).then(|| format!("{self}: the mean is {:.3}", spread.mean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(values: impl IntoIterator<Item = f64>) -> Vec<Figures> {
        values.into_iter().map(|value| Figures::from([("harmed".to_owned(), value)])).collect()
    }

    #[test]
    fn a_difference_is_real_when_chance_does_not_make_it() {
        assert_eq!(sign_test([(1.0, 1.0); 50].into_iter()), 1.0);
        assert!((sign_test([(1.0, 0.0); 7].into_iter()) - 2.0 / 128.0).abs() < 1e-9);
        assert!((sign_test((0..10).map(|n| (0.5, f64::from(n % 2)))) - 1.0).abs() < 1e-9);
        assert!(sign_test([(1.0, 0.0); 5000].into_iter()) < 1e-100);
        let was = runs((0..10).map(f64::from));
        let compared = compare(
            &was,
            &[runs((0..10).map(|n| f64::from(n) + 1.0)), was.clone(), runs((0..10).rev().map(f64::from))],
        );
        let real: Vec<bool> = compared[0].candidates.iter().map(|one| one.real).collect();
        assert_eq!(real, [true, false, false]);
        let spread = compared[0].as_it_was.unwrap();
        assert_eq!((spread.mean, spread.low, spread.high, spread.runs), (4.5, 0.0, 9.0, 10));
    }

    #[test]
    fn bounds_hold_of_the_mean_and_a_figure_that_is_not_there_holds_none() {
        let compared = compare(&runs([1.0]), &[runs([4.0, 6.0])]);
        let broken = |text: &str| text.parse::<Bound>().unwrap().broken(&compared, 0);
        assert_eq!((broken("harmed<=5"), broken("harmed >= 5")), (None, None));
        assert_eq!(broken("harmed<=4.5").unwrap(), "harmed<=4.5: the mean is 5.000");
        assert!(broken("harm<=5").unwrap().contains("there are harmed"));
        for wrong in ["", "harmed", "harmed<5", "<=5", "harmed<=x", "a<=1>=2"] {
            assert!(wrong.parse::<Bound>().unwrap_err().contains("harmed<=10"), "{wrong}");
        }
    }
}
