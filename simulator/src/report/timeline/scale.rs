//! The scale of the picture converts times to places, and places to times.

use super::picture::clock;

/// The least distance between two ticks.
const TICK: f64 = 85.0;
/// If the story would get less than `LEAST` of the width, because the end of the run takes long, it gets `STORY` of the width.
const LEAST: f64 = 0.5;
const STORY: f64 = 0.7;

/// Converts times to places. The story and the rest of the run have a scale each, because the rest may take far longer than the
/// story.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    left: f64,
    width: f64,
    healed: u64,
    end: u64,
    knee: f64,
}

impl Scale {
    /// Makes a scale for times from 0 to `end`, from the place `left` on and `width` wide. The story ends at `healed`.
    pub(super) fn new(left: f64, width: f64, healed: u64, end: u64) -> Self {
        let end = end.max(1);
        let fair = healed as f64 / end as f64;
        let share = if healed > 0 && fair < LEAST { STORY } else { fair };
        Scale { left, width, healed, end, knee: left + width * share }
    }

    /// The place of the time `at`.
    pub(super) fn x(&self, at: u64) -> f64 {
        let at = at.min(self.end);
        if at <= self.healed && self.healed > 0 {
            return self.left + (self.knee - self.left) * at as f64 / self.healed as f64;
        }
        let rest = (self.end - self.healed).max(1) as f64;
        self.knee + (self.left + self.width - self.knee) * (at - self.healed) as f64 / rest
    }

    /// The time at the place `x`.
    pub(super) fn time(&self, x: f64) -> u64 {
        let part = |from: f64, to: f64| if to > from { ((x - from) / (to - from)).clamp(0.0, 1.0) } else { 0.0 };
        if x <= self.knee {
            return (part(self.left, self.knee) * self.healed as f64) as u64;
        }
        self.healed + (part(self.knee, self.left + self.width) * (self.end - self.healed) as f64) as u64
    }

    /// Whether the story has another scale than the rest of the run.
    pub(super) fn is_bent(&self) -> bool {
        let fair = self.left + self.width * self.healed as f64 / self.end as f64;
        (self.knee - fair).abs() > 1.0
    }

    /// The ticks: the time of each, and its text.
    pub(super) fn ticks(&self) -> Vec<(u64, String)> {
        let mut ticks = Vec::new();
        for (from, until, width) in
            [(0, self.healed, self.knee - self.left), (self.healed, self.end, self.left + self.width - self.knee)]
        {
            let step = step(until - from, width);
            let first = if from == 0 { 0 } else { (from / step + 1) * step };
            let mut at = first;
            while at <= until && until > from {
                let crowded = ticks.last().is_some_and(|(last, _)| self.x(at) - self.x(*last) < TICK / 2.0);
                if !crowded {
                    ticks.push((at, clock(at)));
                }
                at += step;
            }
        }
        ticks
    }
}

/// The time between two ticks: 1, 2 or 5 times a power of ten milliseconds, such that ticks are at least [`TICK`] apart.
fn step(span: u64, width: f64) -> u64 {
    let least = span as f64 * TICK / width.max(1.0);
    let steps = (0..).flat_map(|power| [1, 2, 5].map(|digit| digit * 1000 * 10_u64.pow(power)));
    // The powers go up to a million seconds. The ticks of longer runs would be crowded, and crowded ticks are left out.
    steps.take(36).find(|step| *step as f64 >= least).unwrap_or(1_000_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_end_leaves_the_story_its_share() {
        let scale = Scale::new(100.0, 1000.0, 10_000_000, 410_000_000);
        assert!(scale.is_bent());
        assert_eq!([0, 10_000_000, 410_000_000].map(|at| scale.x(at).round()), [100.0, 800.0, 1100.0]);
        assert_eq!(scale.time(800.0), 10_000_000);
        let ticks = scale.ticks();
        assert!(ticks.len() <= 13 && ticks.windows(2).all(|two| two[0].0 < two[1].0), "{ticks:?}");
        assert_eq!(ticks[1].1, "2 s");
    }

    #[test]
    fn a_short_end_is_drawn_to_scale() {
        let scale = Scale::new(0.0, 1000.0, 40_000_000, 50_000_000);
        assert!(!scale.is_bent());
        assert_eq!(scale.x(25_000_000).round(), 500.0);
        assert_eq!(Scale::new(0.0, 1000.0, 0, 0).x(0).round(), 0.0, "an empty run has a scale too");
    }
}
