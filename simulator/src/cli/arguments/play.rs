//! The arguments that commands have in common: which engine plays, how, and with which seeds.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use simulator::world::EngineKind;

/// Which engine plays scenarios, and how
#[derive(Clone, Debug, Args)]
pub(crate) struct EngineArgs {
    /// The engine that plays it: a simulated network in virtual time, or real sockets in real time.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) engine: EngineKind,
    /// The proxy under test, for the live engine: one of simulator/subjects, or another folder like these.
    #[arg(long, default_value = "netdrift", value_name = "NAME|FOLDER")]
    pub(crate) subject: String,
    /// The arguments that are the same for all engines.
    #[command(flatten)]
    pub(crate) play: PlayArgs,
}

/// How scenarios are played
#[derive(Clone, Debug, Args)]
pub(crate) struct PlayArgs {
    /// The proxy's binary for the live engine. Left out: the one beside the simulator's.
    #[arg(long, value_name = "PATH")]
    pub(crate) proxy: Option<PathBuf>,
    /// Multiply every length of time in the scenario.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = factor)]
    pub(crate) scale: f64,
}

/// A number above 0.
pub(crate) fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor: &f64| factor.is_finite() && *factor > 0.0);
    factor.ok_or_else(|| format!("must be a number above 0, such as 0.25 (got {text:?})"))
}

/// `A..B` or `A..=B`, which mean the same: both ends are included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seeds(pub(crate) RangeInclusive<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = text.split_once("..").and_then(|(first, last)| {
            let last = last.strip_prefix('=').unwrap_or(last);
            Some(first.parse().ok()?..=last.parse().ok()?)
        });
        let range = range.filter(|range: &RangeInclusive<u64>| !range.is_empty());
        range.map(Seeds).ok_or_else(|| {
            format!("must be like 1..100, both ends included, the first not above the last (got {text:?})")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_factors_are_read_or_refused_with_an_example() {
        for hundred in ["1..100", "1..=100"] {
            assert_eq!(hundred.parse::<Seeds>().map(|seeds| seeds.0.count()), Ok(100), "as the READMEs say");
        }
        assert_eq!("7..7".parse::<Seeds>(), Ok(Seeds(7..=7)));
        for wrong in ["", "1", "9..1", "a..b", "1...3", "1..==3"] {
            assert!(wrong.parse::<Seeds>().unwrap_err().contains("1..100"), "{wrong}");
        }
        assert_eq!(factor("0.25"), Ok(0.25));
        for wrong in ["", "0", "-1", "inf", "NaN", "x"] {
            assert!(factor(wrong).unwrap_err().contains("0.25"), "{wrong}");
        }
    }
}
