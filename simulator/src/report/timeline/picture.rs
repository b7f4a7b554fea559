//! A picture has a lane for each host, with bars, bands and marks; it says what is drawn, not how.

use std::collections::BTreeSet;

/// Of what kind something is; it decides the colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    /// A request or attempt that failed.
    Failed,
    /// A request that failover saved.
    Saved,
    /// A request or attempt that succeeded.
    Good,
    /// A health probe that succeeded.
    Probe,
    /// A fault of an upstream's plan.
    Fault,
    /// What the scenario did to a link or a process.
    Disturbance,
    /// Ejected.
    Ejected,
    /// A reload, or a drain.
    Changed,
}

impl Tone {
    /// As a class of the style sheet.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Tone::Failed => "failed",
            Tone::Saved => "saved",
            Tone::Good => "good",
            Tone::Probe => "probe",
            Tone::Fault => "fault",
            Tone::Disturbance => "disturbance",
            Tone::Ejected => "ejected",
            Tone::Changed => "changed",
        }
    }
}

/// Something that lasts. Times are virtual, in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Spell {
    pub(super) from: u64,
    pub(super) until: u64,
    pub(super) tone: Tone,
    /// A word or two; empty where there is nothing to say in passing.
    pub(super) label: String,
    /// The whole of it.
    pub(super) text: String,
}

/// Something that happens at once.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) at: u64,
    pub(super) tone: Tone,
    pub(super) label: String,
    pub(super) text: String,
}

/// A line of the trace that disagrees with what must hold.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    pub(super) at: u64,
    /// Of which violation, from 1.
    pub(super) number: usize,
    pub(super) text: String,
}

/// One host.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) host: String,
    /// Requests of a client, attempts at an upstream.
    pub(super) bars: Vec<Spell>,
    /// What was done to it, and ejections.
    pub(super) bands: Vec<Spell>,
    pub(super) marks: Vec<Mark>,
    /// Requests that an upstream wrote down, when they were over.
    pub(super) written: Vec<Mark>,
    pub(super) wrong: Vec<Wrong>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Picture {
    /// When the last thing happened.
    pub(super) end: u64,
    /// Parts of the run: when each began, and its name.
    pub(super) phases: Vec<(u64, &'static str)>,
    /// From top to bottom.
    pub(super) lanes: Vec<Lane>,
}

impl Picture {
    /// With empty lanes for `hosts`, in their order.
    pub(super) fn new<'a>(end: u64, hosts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut known = BTreeSet::new();
        let hosts = hosts.into_iter().filter(|host| known.insert(*host));
        let lanes = hosts.map(|host| Lane { host: host.to_owned(), ..Lane::default() }).collect();
        Picture { end, phases: Vec::new(), lanes }
    }

    /// The lane of `host`; a name without one gets the last.
    pub(super) fn lane(&mut self, host: &str) -> &mut Lane {
        let place = self.lanes.iter().position(|lane| lane.host == host).unwrap_or_else(|| {
            self.lanes.push(Lane { host: host.to_owned(), ..Lane::default() });
            self.lanes.len() - 1
        });
        &mut self.lanes[place]
    }

    /// When the story was over and everything was healed.
    pub(super) fn healed(&self) -> u64 {
        let liveness = self.phases.iter().find(|(_, name)| *name == "liveness");
        liveness.map_or(self.end, |(at, _)| *at)
    }
}

/// Virtual time as people write it.
pub(super) fn clock(micros: u64) -> String {
    let text = format!("{}.{:03}", micros / 1_000_000, micros / 1000 % 1000);
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_without_idle_zeros() {
        assert_eq!([0, 10_000_000, 1_250_000, 999].map(clock), ["0 s", "10 s", "1.25 s", "0 s"]);
    }
}
