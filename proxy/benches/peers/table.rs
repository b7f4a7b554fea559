//! What a run found, as it is kept in JSON, and the table that is made from it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    More,
    Less,
}

/// One row: a figure of every contender in every round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) better: Better,
    /// Shown behind the point.
    pub(crate) digits: usize,
    /// By contender; of each round, in order. A figure that there was none of is null.
    pub(crate) figures: BTreeMap<String, Vec<Option<f64>>>,
}

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// `YYYY-MM-DD`.
    pub(crate) date: String,
    pub(crate) kernel: String,
    pub(crate) cores: usize,
    pub(crate) rounds: usize,
    /// How long each load lasted.
    pub(crate) millis: u64,
    /// The contenders in the order in which they are told, with the first line that each program says of its version.
    pub(crate) contenders: Vec<(String, String)>,
    /// Pairs of contenders: the first in multiples of the second.
    pub(crate) ratios: Vec<(String, String)>,
    pub(crate) rows: Vec<Row>,
    /// Measures taken, and how many of them others had disturbed even when they were taken again.
    pub(crate) taken: usize,
    pub(crate) disturbed: usize,
    /// Each contender had a network namespace of its own.
    #[serde(default)]
    pub(crate) alone: bool,
}

impl Row {
    fn of(&self, contender: &str) -> &[Option<f64>] {
        self.figures.get(contender).map_or(&[], Vec::as_slice)
    }

    /// The quartiles of a contender's figures.
    fn quartiles(&self, contender: &str) -> Option<[f64; 3]> {
        quartiles(self.of(contender).iter().copied().flatten().collect())
    }

    /// The quartiles of the ratio of two contenders' figures in the same round.
    fn ratio(&self, one: &str, other: &str) -> Option<[f64; 3]> {
        let pairs = self.of(one).iter().zip(self.of(other));
        let ratios = pairs.filter_map(|(one, other)| Some((*one)? / (*other)?)).filter(|ratio| ratio.is_finite());
        quartiles(ratios.collect())
    }
}

/// The first quartile, the median and the third.
fn quartiles(mut values: Vec<f64>) -> Option<[f64; 3]> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = |share: f64| -> Option<f64> {
        let place = last as f64 * share;
        let (low, high) = (*values.get(place.floor() as usize)?, *values.get(place.ceil() as usize)?);
        Some(low + (high - low) * place.fract())
    };
    Some([at(0.25)?, at(0.5)?, at(0.75)?])
}

/// `12,345.6`.
fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    fraction.map_or(grouped.clone(), |rest| format!("{grouped}.{rest}"))
}

impl Run {
    /// Two tables in Markdown: the medians, and the ratios with their quartiles.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        let versions: Vec<&str> = self.contenders.iter().map(|(_, version)| version.as_str()).collect();
        let mut told: Vec<&str> = Vec::new();
        for version in versions.into_iter().filter(|version| !version.is_empty()) {
            if !told.contains(&version) {
                told.push(version);
            }
        }
        let Run { date, kernel, cores, rounds, millis, taken, disturbed, .. } = self;
        let networks =
            if self.alone { "each contender in a network namespace of its own" } else { "all in one network" };
        let _ = writeln!(
            text,
            "{date}, Linux {kernel}, {cores} cores; {}. Medians of {rounds} interleaved rounds of {millis} ms, {networks}. Other processes \
             took more than a twentieth of the machine during {disturbed} of {taken} measures.\n",
            told.join("; ")
        );
        let names: Vec<&str> = self.contenders.iter().map(|(name, _)| name.as_str()).collect();
        self.write(&mut text, &names, |row, cells| {
            for name in &names {
                let figure = row.quartiles(name).map(|[_, median, _]| number(median, row.digits));
                cells.push(figure.unwrap_or_else(|| "–".to_owned()));
            }
        });
        text.push_str(
            "\nRatios of figures in the same round: the median, and in brackets the quartiles. Bold: ahead in three rounds of four.\n\n",
        );
        let pairs: Vec<String> = self.ratios.iter().map(|(one, other)| format!("{one} ÷ {other}")).collect();
        let heads: Vec<&str> = pairs.iter().map(String::as_str).collect();
        self.write(&mut text, &heads, |row, cells| {
            for (one, other) in &self.ratios {
                let cell = row.ratio(one, other).map(|[low, median, high]| {
                    let ahead = match row.better {
                        Better::More => low > 1.0,
                        Better::Less => high < 1.0,
                    };
                    let bold = if ahead { "**" } else { "" };
                    format!("{bold}{median:.2}{bold} ({low:.2}–{high:.2})")
                });
                cells.push(cell.unwrap_or_else(|| "–".to_owned()));
            }
        });
        text
    }

    /// One table for who wants the gist: the first pair, and the first row of each measure with what it costs.
    pub(crate) fn short(&self) -> String {
        let Some((one, other)) = self.ratios.first() else { return String::new() };
        let version = self.contenders.iter().find(|(name, _)| name == other).map_or("", |(_, version)| version);
        let Run { date, kernel, cores, .. } = self;
        let mut text = format!("Measured {date} on {cores} cores, Linux {kernel}, in one run; {version}.\n\n");
        let gist = self.rows.iter().filter(|row| !row.label.starts_with('–') || row.label.contains("CPU"));
        let short = Run { rows: gist.cloned().collect(), ..self.clone() };
        short.write(&mut text, &[one, other, "ratio (quartiles)"], |row, cells| {
            for name in [one, other] {
                let figure = row.quartiles(name).map(|[_, median, _]| number(median, row.digits));
                cells.push(figure.unwrap_or_else(|| "–".to_owned()));
            }
            let ratio = row.ratio(one, other);
            cells.push(ratio.map_or("–".to_owned(), |[low, median, high]| format!("{median:.2} ({low:.2}–{high:.2})")));
        });
        text
    }

    /// A table with a column for each of `heads`; `cells` adds those of a row. Rows in which there is nothing to tell are left out.
    fn write(&self, text: &mut String, heads: &[&str], cells: impl Fn(&Row, &mut Vec<String>)) {
        let _ = writeln!(text, "| | {} |\n|---{}|", heads.join(" | "), "|---".repeat(heads.len()));
        for row in &self.rows {
            let mut told = Vec::new();
            cells(row, &mut told);
            if told.iter().any(|cell| cell != "–") {
                let _ = writeln!(text, "| {} | {} |", row.label, told.join(" | "));
            }
        }
    }
}

/// In front of and behind the tables in a page.
const MARKS: [&str; 2] = ["<!-- made by make bench-peers -->\n", "<!-- until here -->\n"];
/// In front of the short table, likewise.
const SHORT: &str = "<!-- made by make bench-peers, in short -->\n";

/// `page` with the tables of `run` between their marks; none where it has no marks.
pub(crate) fn replaced(page: &str, run: &Run) -> Option<String> {
    let [whole, end] = MARKS;
    let (begin, text) = if page.contains(SHORT) { (SHORT, run.short()) } else { (whole, run.markdown()) };
    let (before, rest) = page.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n{text}\n{end}{after}"))
}
