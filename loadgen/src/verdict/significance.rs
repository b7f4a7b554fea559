//! Computes the tests of significance that verdicts need, as textbooks have them.

/// The logarithm of the gamma function for `x` > 0 (Stirling's series behind a shift).
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 10.0 {
        shift += x.ln();
        x += 1.0;
    }
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - shift
}

/// The chance that a chi-square variable with `freedom` degrees is above `value`.
pub(crate) fn chi_square_above(value: f64, freedom: f64) -> f64 {
    let (a, x) = (freedom / 2.0, value / 2.0);
    if x <= 0.0 {
        return 1.0;
    }
    let scale = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        // The series of the lower incomplete gamma function.
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        while term > sum * 1e-15 {
            n += 1.0;
            term *= x / n;
            sum += term;
        }
        return (1.0 - sum * scale).clamp(0.0, 1.0);
    }
    // The continued fraction of the upper one, by Lentz's method.
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1e300, 1.0 / b);
    let mut fraction = d;
    for i in 1..10_000 {
        let i = f64::from(i);
        let an = -i * (i - a);
        b += 2.0;
        d = 1.0 / (an * d + b);
        c = b + an / c;
        let delta = c * d;
        fraction *= delta;
        if (delta - 1.0).abs() < 1e-14 {
            break;
        }
    }
    (scale * fraction).clamp(0.0, 1.0)
}

/// The value that a chi-square variable with `freedom` degrees exceeds with that chance.
pub(crate) fn chi_square_bound(chance: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, freedom + 10.0);
    while chi_square_above(high, freedom) > chance {
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if chi_square_above(middle, freedom) > chance { low = middle } else { high = middle }
    }
    high
}

/// The two-sided chance of a standard normal value at least as far from 0 as `z`.
pub(crate) fn two_sided(z: f64) -> f64 {
    // The square of a standard normal value is chi-square with one degree.
    chi_square_above(z * z, 1.0)
}

/// The non-centrality at which a test at `level` with `freedom` degrees finds a difference four times in five.
pub(crate) fn detectable(level: f64, freedom: f64) -> f64 {
    let bound = chi_square_bound(level, freedom);
    // The non-central distribution is a mixture of central ones, weighted as a Poisson variable.
    let power = |extra: f64| {
        let (mut weight, mut sum) = ((-extra / 2.0).exp(), 0.0);
        for step in 0..500 {
            let step = f64::from(step);
            sum += weight * chi_square_above(bound, freedom + 2.0 * step);
            weight *= extra / 2.0 / (step + 1.0);
        }
        sum
    };
    let (mut low, mut high) = (0.0, 1.0);
    while power(high) < 0.8 {
        high *= 2.0;
    }
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if power(middle) < 0.8 { low = middle } else { high = middle }
    }
    high
}

/// The z value of the difference between two samples, values with counts in rising order (Mann and Whitney 1947, ties
/// corrected). Above 0: the second has the larger values.
pub(crate) fn rank_sum_z(first: &[(u64, u64)], second: &[(u64, u64)]) -> f64 {
    let total = |sample: &[(u64, u64)]| sample.iter().map(|(_, count)| *count as f64).sum::<f64>();
    let (n, m) = (total(first), total(second));
    if n == 0.0 || m == 0.0 {
        return 0.0;
    }
    let mut merged = std::collections::BTreeMap::<u64, (f64, f64)>::new();
    for (value, count) in first {
        merged.entry(*value).or_default().0 += *count as f64;
    }
    for (value, count) in second {
        merged.entry(*value).or_default().1 += *count as f64;
    }
    let (mut before, mut above, mut ties) = (0.0, 0.0, 0.0);
    for (of_first, of_second) in merged.into_values() {
        above += of_second * (before + of_first / 2.0);
        before += of_first;
        let tied = of_first + of_second;
        ties += tied * tied * tied - tied;
    }
    let all = n + m;
    let variance = n * m / 12.0 * ((all + 1.0) - ties / (all * (all - 1.0)));
    if variance <= 0.0 { 0.0 } else { (above - n * m / 2.0) / variance.sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-3 * b.abs().max(1e-3)
    }

    #[test]
    fn chi_square_agrees_with_the_tables() {
        for (chance, freedom, bound) in
            [(0.05, 1.0, 3.8415), (0.001, 1.0, 10.828), (0.001, 3.0, 16.266), (0.05, 10.0, 18.307), (0.95, 10.0, 3.940)]
        {
            assert!(near(chi_square_bound(chance, freedom), bound), "{chance} {freedom}");
            assert!(near(chi_square_above(bound, freedom), chance), "{chance} {freedom}");
        }
        assert!(near(two_sided(1.96), 0.05));
    }

    #[test]
    fn power_agrees_with_the_tables() {
        // Cohen's tables: level 0.05, power 0.8.
        assert!((detectable(0.05, 1.0) - 7.85).abs() < 0.2);
        assert!((detectable(0.05, 5.0) - 12.83).abs() < 0.3);
    }

    #[test]
    fn equal_samples_do_not_differ_and_shifted_ones_do() {
        let sample: Vec<_> = (100..200).map(|value| (value, 5)).collect();
        let shifted: Vec<_> = (110..210).map(|value| (value, 5)).collect();
        assert_eq!(rank_sum_z(&sample, &sample), 0.0);
        assert!(rank_sum_z(&sample, &shifted) > 4.0 && rank_sum_z(&shifted, &sample) < -4.0);
    }
}
