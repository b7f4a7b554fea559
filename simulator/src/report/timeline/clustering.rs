//! Groups things that are too many to be drawn one by one.

use std::collections::BTreeMap;

use super::picture::{Spell, Tone};
use super::scale::Scale;

/// How many rows of bars a lane has at most, and how many bars.
pub(super) const ROWS: usize = 12;
pub(super) const BARS: usize = 800;
/// The least width of a bar.
pub(super) const LEAST: f64 = 1.6;
/// How many texts are shown of things that are drawn as one.
const TEXTS: usize = 6;

/// Gives each spell a row, such that spells of one row don't touch. Returns the rows and their number, or `None` if it exceeds `most`.
pub(super) fn rows(scale: &Scale, spells: &[Spell], most: usize, gap: f64) -> Option<(Vec<usize>, usize)> {
    let mut ends: Vec<f64> = Vec::new();
    let mut order: Vec<usize> = (0..spells.len()).collect();
    order.sort_by_key(|place| spells[*place].from);
    let mut rows = vec![0; spells.len()];
    for place in order {
        let spell = &spells[place];
        let (from, until) = (scale.x(spell.from), scale.x(spell.until));
        let row = ends.iter().position(|end| *end + gap <= from).unwrap_or(ends.len());
        if row == most {
            return None;
        }
        if row == ends.len() {
            ends.push(0.0);
        }
        ends[row] = until.max(from + LEAST);
        rows[place] = row;
    }
    Some((rows, ends.len()))
}

/// A column of a histogram: how many spells there are within a time, by tone.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Column {
    /// Its left and its right edge.
    pub(super) x: (f64, f64),
    pub(super) counts: BTreeMap<Tone, usize>,
    /// Texts of the spells that failed.
    pub(super) texts: Vec<String>,
}

impl Column {
    pub(super) fn count(&self) -> usize {
        self.counts.values().sum()
    }
}

/// Counts `spells` in columns that are `width` wide, from `left` to `right`. Equal neighbours become one column.
pub(super) fn columns(scale: &Scale, spells: &[Spell], (left, right): (f64, f64), width: f64) -> Vec<Column> {
    let many = ((right - left) / width).ceil().max(1.0) as usize;
    let place = |x: f64| (((x - left) / width).max(0.0) as usize).min(many - 1);
    let mut columns: Vec<Column> = vec![Column::default(); many];
    for (index, column) in columns.iter_mut().enumerate() {
        let from = left + index as f64 * width;
        column.x = (from, (from + width).min(right));
    }
    for spell in spells {
        for column in &mut columns[place(scale.x(spell.from))..=place(scale.x(spell.until))] {
            *column.counts.entry(spell.tone).or_default() += 1;
            if spell.tone == Tone::Failed && column.texts.len() < TEXTS {
                column.texts.push(spell.text.lines().next().unwrap_or_default().to_owned());
            }
        }
    }
    columns.retain(|column| column.count() > 0);
    columns.dedup_by(|next, before| {
        let same = before.x.1 == next.x.0 && before.counts == next.counts && before.texts == next.texts;
        if same {
            before.x.1 = next.x.1;
        }
        same
    });
    columns
}

/// Several things that are so near to each other that they are drawn as one.
#[derive(Debug)]
pub(super) struct Group<'a, T> {
    pub(super) x: f64,
    pub(super) first: &'a T,
    pub(super) count: usize,
    texts: Vec<&'a str>,
}

impl<T> Group<'_, T> {
    /// The texts of all of them, as far as they are shown.
    pub(super) fn text(&self) -> String {
        let mut text = self.texts.join("\n");
        if self.count > self.texts.len() {
            text.push_str(&format!("\nand {} more", self.count - self.texts.len()));
        }
        text
    }
}

/// Groups `things` by their places: a thing that is nearer than `apart` to the first one of a group belongs to that group. The group is
/// drawn like its worst thing, which is the least by `rank`.
pub(super) fn groups<T, K: Ord>(
    things: &[T],
    apart: f64,
    x: impl Fn(&T) -> f64,
    rank: impl Fn(&T) -> K,
    text: impl Fn(&T) -> &str,
) -> Vec<Group<'_, T>> {
    let mut order: Vec<&T> = things.iter().collect();
    order.sort_by(|one, other| x(one).total_cmp(&x(other)));
    let mut groups: Vec<Group<'_, T>> = Vec::new();
    for thing in order {
        match groups.last_mut().filter(|group| x(thing) - group.x < apart) {
            Some(group) => {
                group.count += 1;
                if group.texts.len() < TEXTS {
                    group.texts.push(text(thing));
                }
                if rank(thing) < rank(group.first) {
                    group.first = thing;
                }
            }
            None => groups.push(Group { x: x(thing), first: thing, count: 1, texts: vec![text(thing)] }),
        }
    }
    groups
}

/// Joins bands that are alike and nearer than `apart` to each other.
pub(super) fn joined(scale: &Scale, bands: &[Spell], apart: f64) -> Vec<Spell> {
    let mut order: Vec<&Spell> = bands.iter().collect();
    order.sort_by_key(|band| band.from);
    let mut joined: Vec<(Spell, usize)> = Vec::new();
    for band in order {
        let alike = |before: &&mut (Spell, usize)| {
            before.0.tone == band.tone
                && before.0.label == band.label
                && before.0.until <= band.from
                && scale.x(band.from) - scale.x(before.0.until) < apart
        };
        match joined.iter_mut().rev().find(alike) {
            Some((before, count)) => {
                *count += 1;
                before.until = before.until.max(band.until);
                if *count <= TEXTS {
                    before.text = format!("{}\n{}", before.text, band.text);
                }
            }
            None => joined.push((band.clone(), 1)),
        }
    }
    let told = |(band, count): (Spell, usize)| match count {
        1 => band,
        count => Spell { text: format!("{count} times\n{}", band.text), ..band },
    };
    joined.into_iter().map(told).collect()
}
