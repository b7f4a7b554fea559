//! Reads and checks thresholds as people write them: `p99 < 20ms`, `errors == 0`, `rate > 5000`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Verdict;
use crate::quantity;

/// A bound on one figure of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    metric: String,
    comparison: Comparison,
    bound: f64,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// Seconds.
    Time,
    /// Things.
    Count,
    /// Hundredths.
    Percent,
    /// Bytes in a second.
    Throughput,
    /// Bytes.
    Size,
}

/// Latencies that may stand in front of a percentile, with a dot between. Without one the corrected latency is meant.
const LATENCIES: [&str; 8] = ["ok", "uncorrected", "connect", "reply", "tls", "first_byte", "last_byte", "lag"];
/// Points of a latency's distribution that a threshold may name.
pub(crate) const POINTS: [&str; 9] = ["p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99", "max", "mean"];
const FAILOVER: [&str; 3] = ["detect", "avoid", "restore"];
const COUNTS: [&str; 7] = ["errors", "requests", "ok", "rate", "harmed", "tunnels", "descriptors_left"];
const SIZES: [&str; 2] = ["memory_growth", "memory_per_tunnel"];

fn unit(metric: &str) -> Option<Unit> {
    let point = metric.split_once('.').filter(|(time, _)| LATENCIES.contains(time)).map_or(metric, |(_, point)| point);
    match metric {
        _ if POINTS.contains(&point) || FAILOVER.contains(&metric) => Some(Unit::Time),
        _ if COUNTS.contains(&metric) => Some(Unit::Count),
        "error_rate" => Some(Unit::Percent),
        "throughput" => Some(Unit::Throughput),
        _ if SIZES.contains(&metric) => Some(Unit::Size),
        _ => None,
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.find(['<', '>', '=']).ok_or_else(|| format!("`{text}`: expected METRIC < VALUE"))?;
        let metric = text[..at].trim().to_owned();
        let (comparison, value) = match &text.as_bytes()[at..] {
            [b'<', b'=', ..] => (Comparison::AtMost, &text[at + 2..]),
            [b'>', b'=', ..] => (Comparison::AtLeast, &text[at + 2..]),
            [b'=', b'=', ..] => (Comparison::Equal, &text[at + 2..]),
            [b'<', ..] => (Comparison::Less, &text[at + 1..]),
            [b'>', ..] => (Comparison::More, &text[at + 1..]),
            _ => return Err(format!("`{text}`: the comparisons are <, <=, ==, >= and >")),
        };
        let value = value.trim();
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
        let wrong = || format!("`{text}`: `{value}` is no number");
        let bound = match unit(&metric) {
            Some(Unit::Time) => quantity::duration(value)?.as_secs_f64(),
            Some(Unit::Count) => number(value).ok_or_else(wrong)?,
            Some(Unit::Percent) => number(value.trim_end_matches('%').trim()).ok_or_else(wrong)? / 100.0,
            Some(Unit::Throughput) => quantity::bytes(value.trim_end_matches("/s"))? as f64,
            Some(Unit::Size) => quantity::bytes(value)? as f64,
            None => {
                let names =
                    [&POINTS[..], &FAILOVER, &COUNTS, &SIZES, &["error_rate", "throughput"]].concat().join(", ");
                return Err(format!(
                    "`{metric}` is no metric; there are {names}; and {}.POINT",
                    LATENCIES.join(".POINT, ")
                ));
            }
        };
        Ok(Threshold { metric, comparison, bound, text: text.trim().to_owned() })
    }
}

impl Threshold {
    /// The name of the figure that it needs. Times are in seconds, `error_rate` is a share of 1.
    pub fn metric(&self) -> &str {
        &self.metric
    }

    /// Whether it is on a latency, which a saturated load generator can't measure.
    pub fn is_on_latency(&self) -> bool {
        unit(&self.metric) == Some(Unit::Time) && !FAILOVER.contains(&self.metric.as_str())
    }

    /// Judges a figure. A figure that the run does not have misses the threshold.
    pub fn judge(&self, figure: Option<f64>) -> Verdict {
        let Some(figure) = figure else {
            return Verdict::new(format!("expect {}", self.text), false, format!("this run has no {}", self.metric));
        };
        let passed = match self.comparison {
            Comparison::Less => figure < self.bound,
            Comparison::AtMost => figure <= self.bound,
            Comparison::Equal => figure == self.bound,
            Comparison::AtLeast => figure >= self.bound,
            Comparison::More => figure > self.bound,
        };
        Verdict::new(format!("expect {}", self.text), passed, format!("{} is {}", self.metric, self.show(figure)))
    }

    fn show(&self, figure: f64) -> String {
        match unit(&self.metric) {
            Some(Unit::Time) => quantity::show(Duration::try_from_secs_f64(figure).unwrap_or(Duration::MAX)),
            Some(Unit::Percent) => format!("{:.4} %", figure * 100.0),
            Some(Unit::Throughput) => format!("{}/s", quantity::show_bytes(figure)),
            Some(Unit::Size) if figure < 0.0 => format!("-{}", quantity::show_bytes(-figure)),
            Some(Unit::Size) => quantity::show_bytes(figure),
            _ if figure.fract() == 0.0 => format!("{figure}"),
            _ => format!("{figure:.1}"),
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str, figure: f64) -> bool {
        text.parse::<Threshold>().unwrap().judge(Some(figure)).passed()
    }

    #[test]
    fn each_comparison_keeps_its_bound() {
        assert!(judge("p99 < 20ms", 0.0199) && !judge("p99 < 20ms", 0.020));
        assert!(judge("p99.9<=20ms", 0.020) && !judge("connect.max <= 20ms", 0.0201));
        assert!(judge("errors == 0", 0.0) && !judge("errors == 0", 1.0));
        assert!(judge("rate > 5000", 5001.0) && !judge("rate > 5000", 5000.0));
        assert!(judge("error_rate <= 1%", 0.01) && judge("throughput >= 1m/s", 1_048_576.0));
        assert!(judge("memory_growth < 10m", -1.0) && !judge("memory_growth < 10m", 10_485_760.0));
        assert!(!"detect < 1s".parse::<Threshold>().unwrap().judge(None).passed());
    }

    #[test]
    fn mistakes_are_named() {
        for (text, word) in [
            ("p99", "METRIC"),
            ("p98 < 1s", "no metric"),
            ("p99 < 20", "duration"),
            ("errors = 0", "comparisons"),
            ("errors < x", "no number"),
            ("foo.p99 < 1s", "no metric"),
        ] {
            let error = text.parse::<Threshold>().unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
