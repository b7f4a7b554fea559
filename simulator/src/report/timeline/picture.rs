//! A picture is what is drawn of a run, and not how: a lane for each host, with bars, bands and marks.

use std::collections::BTreeSet;

/// The kind of a thing, which decides its colour.
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
    /// An ejection.
    Ejected,
    /// A reload, or a drain.
    Changed,
}

impl Tone {
    /// The class in the style sheet.
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

/// Something that lasts for a time. Times are in microseconds since the start of the run.
#[derive(Clone, Debug)]
pub(super) struct Spell {
    pub(super) from: u64,
    pub(super) until: u64,
    pub(super) tone: Tone,
    /// A word or two beside it; may be empty.
    pub(super) label: String,
    /// Everything about it, which a pointer shows.
    pub(super) text: String,
}

/// Something that happens at one moment.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) at: u64,
    pub(super) tone: Tone,
    pub(super) label: String,
    pub(super) text: String,
}

/// A line of the trace that a violation names.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    pub(super) at: u64,
    /// The number of the violation, counted from 1.
    pub(super) number: usize,
    pub(super) text: String,
}

/// The lane of one host.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) host: String,
    /// The requests of a client, or the attempts at an upstream.
    pub(super) bars: Vec<Spell>,
    /// Disturbances and ejections.
    pub(super) bands: Vec<Spell>,
    pub(super) marks: Vec<Mark>,
    /// Requests in an upstream's journal, each at its end.
    pub(super) written: Vec<Mark>,
    pub(super) wrong: Vec<Wrong>,
}

/// The whole picture.
#[derive(Debug, Default)]
pub(super) struct Picture {
    /// When the last thing happened.
    pub(super) end: u64,
    /// The phases of the run: when each began, and its name.
    pub(super) phases: Vec<(u64, &'static str)>,
    /// The lanes, from top to bottom.
    pub(super) lanes: Vec<Lane>,
}

impl Picture {
    /// Makes a picture with empty lanes for `hosts`, in their order.
    pub(super) fn new<'a>(end: u64, hosts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut known = BTreeSet::new();
        let hosts = hosts.into_iter().filter(|host| known.insert(*host));
        let lanes = hosts.map(|host| Lane { host: host.to_owned(), ..Lane::default() }).collect();
        Picture { end, phases: Vec::new(), lanes }
    }

    /// The lane of `host`. A host without a lane gets a new one at the bottom.
    pub(super) fn lane(&mut self, host: &str) -> &mut Lane {
        let place = self.lanes.iter().position(|lane| lane.host == host).unwrap_or_else(|| {
            self.lanes.push(Lane { host: host.to_owned(), ..Lane::default() });
            self.lanes.len() - 1
        });
        &mut self.lanes[place]
    }

    /// When the story ended and everything was healed.
    pub(super) fn healed(&self) -> u64 {
        let liveness = self.phases.iter().find(|(_, name)| *name == "liveness");
        liveness.map_or(self.end, |(at, _)| *at)
    }
}

/// A time in seconds, as text.
pub(in crate::report) fn clock(micros: u64) -> String {
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
