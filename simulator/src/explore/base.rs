//! Results of now beside those of another time: which failures are new, and which are gone.

use std::collections::BTreeMap;

use super::results::Results;
use crate::judge::{RunReport, Verdict};

/// A run: its scenario and seed.
pub type RunName = (String, u64);

/// What has changed since the base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinceBase {
    /// They fail, and did not in the base.
    pub new: Vec<RunName>,
    /// They fail, as they did in the base.
    pub known: Vec<RunName>,
    /// They pass, and failed in the base.
    pub mended: Vec<RunName>,
    /// They fail, and the base did not play them.
    pub unknown: Vec<RunName>,
}

impl SinceBase {
    /// Holds `reports` against the results of `base`, both of one engine.
    pub fn of(reports: &[RunReport], base: &Results) -> Self {
        let before: BTreeMap<(&str, u64), Verdict> =
            base.reports.iter().map(|one| ((one.scenario.as_str(), one.seed), one.verdict)).collect();
        let mut since = SinceBase::default();
        for report in reports {
            let before = before.get(&(report.scenario.as_str(), report.seed));
            let list = match (fails(report.verdict), before.map(|verdict| fails(*verdict))) {
                (true, Some(true)) => &mut since.known,
                (true, Some(false)) => &mut since.new,
                (true, None) => &mut since.unknown,
                (false, Some(true)) => &mut since.mended,
                (false, _) => continue,
            };
            list.push((report.scenario.clone(), report.seed));
        }
        since
    }

    /// Each list with what it is called.
    pub fn lists(&self) -> [(&'static str, &[RunName]); 4] {
        [
            ("new failures", &self.new),
            ("failures that the base did not play", &self.unknown),
            ("failures as in the base", &self.known),
            ("mended since the base", &self.mended),
        ]
    }
}

/// What an engine can't play fails nowhere.
fn fails(verdict: Verdict) -> bool {
    !matches!(verdict, Verdict::Passed | Verdict::Unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::coverage::Reached;
    use crate::explore::results::{Planned, Source, VERSION};
    use crate::explore::shard::Shard;
    use crate::judge::{LawTotals, run};
    use crate::scenario;
    use crate::world::EngineKind;

    #[test]
    fn failures_are_new_known_or_mended() {
        let text = |name: &str, exactly: u32| {
            format!(
                r#"{{"name": "{name}", "story": "x", "duration": "1s", "upstreams": [{{"name": "a"}}],
                "clients": [{{"name": "c", "do": "connect", "requests": 1}}],
                "expect": [{{"what": "requests", "outcome": "ok", "exactly": {exactly}}}]}}"#
            )
        };
        let reports: Vec<RunReport> = [("new", 2), ("known", 2), ("mended", 1), ("sound", 1), ("unknown", 2)]
            .map(|(name, exactly)| run(&scenario::parse(&text(name, exactly)).unwrap(), 1))
            .into();
        let outcome =
            |scenario: &str, verdict| RunReport { scenario: scenario.to_owned(), verdict, ..reports[0].clone() };
        let base = Results {
            version: VERSION,
            build: String::new(),
            source: Source::Run,
            engine: EngineKind::default(),
            subject: crate::subject::NETDRIFT.to_owned(),
            seed: None,
            planned: Planned { runs: Some(4), digest: String::new() },
            shard: Shard::WHOLE,
            runs: 4,
            reports: vec![
                outcome("new", Verdict::Passed),
                outcome("known", Verdict::Stuck),
                outcome("mended", Verdict::Violated),
                outcome("sound", Verdict::Passed),
            ],
            sometimes: Vec::new(),
            reached: Reached::new(),
            laws: LawTotals::default(),
        };
        let since = SinceBase::of(&reports, &base);
        let name = |name: &str| vec![(name.to_owned(), 1)];
        let all =
            SinceBase { new: name("new"), known: name("known"), mended: name("mended"), unknown: name("unknown") };
        assert_eq!(since, all);
    }
}
