//! Clustering draws things together that are too many to be drawn one by one.

use std::collections::BTreeMap;

use super::picture::{Spell, Tone};
use super::scale::Scale;

/// Bars below each other, at most; bars in a lane, at most.
pub(super) const ROWS: usize = 12;
pub(super) const BARS: usize = 800;
/// Nothing is drawn narrower.
pub(super) const LEAST: f64 = 1.6;
/// Texts shown of what is drawn as one.
const TEXTS: usize = 6;

/// The rows in which `spells` stand without touching, or `None` where they are too many.
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

/// How many spells there are at a time, by tone.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Column {
    /// From and to, on paper.
    pub(super) x: (f64, f64),
    pub(super) counts: BTreeMap<Tone, usize>,
    /// Of those that failed.
    pub(super) texts: Vec<String>,
}

impl Column {
    pub(super) fn count(&self) -> usize {
        self.counts.values().sum()
    }
}

/// `spells` counted in columns `width` wide from `left` to `right`; equal neighbours are one.
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

/// Several that stand so near to each other that they are one on paper.
#[derive(Debug)]
pub(super) struct Group<'a, T> {
    pub(super) x: f64,
    pub(super) first: &'a T,
    pub(super) count: usize,
    texts: Vec<&'a str>,
}

impl<T> Group<'_, T> {
    /// What is said of them.
    pub(super) fn text(&self) -> String {
        let mut text = self.texts.join("\n");
        if self.count > self.texts.len() {
            text.push_str(&format!("\nand {} more", self.count - self.texts.len()));
        }
        text
    }
}

/// `things` by where they stand; those nearer than `apart` to the first of a group belong to it. The worst tone, which
/// is the least by `rank`, stands for all.
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

/// Bands that are alike and nearer than `apart` to each other, as one.
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
