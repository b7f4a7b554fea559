//! The law `converged`: once everything is healed, whole rounds of requests hold each upstream exactly as often as its weight says.

use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{Convergence, Witnesses};

pub(in crate::judge) const LAW: Law = Law {
    name: "converged",
    text: "Once everything is healed and the longest back-off is over, whole rounds of requests reach each upstream exactly as often as its \
           weight says, by the upstreams' journals.",
    check: Check::BlackBox(check),
};

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let Some(convergence) = witnesses.convergence.filter(|one| one.rounds > 0) else { return Checked::default() };
    let config = witnesses.configurations.at(convergence.at);
    let sum: u64 = config.upstreams.iter().map(|one| u64::from(one.weight.get())).sum();
    let hosts = witnesses.scenario.upstreams.iter().map(|one| one.name.as_str());
    hosts.map(|host| judge(witnesses, &convergence, host, sum)).collect()
}

fn judge(witnesses: &Witnesses<'_>, convergence: &Convergence, host: &str, sum: u64) -> Case {
    let Convergence { line, at, round, rounds } = *convergence;
    let configurations = &witnesses.configurations;
    let mut weight = 0;
    for one in &configurations.at(at).upstreams {
        let leads = configurations.hosts_of(&one.host, at, witnesses.over);
        if leads.contains(host) && leads.len() > 1 {
            return Case::Excused(Excuse::Untold);
        }
        weight += if leads.contains(host) { u64::from(one.weight.get()) } else { 0 };
    }
    let asked = |id: &str| Witnesses::is_own(id) && witnesses.requests.get(id).is_some_and(|asked| asked.line > line);
    let entries = witnesses.journals.at(host).into_iter().flat_map(|journal| &journal.requests);
    let got = entries.filter(|entry| entry.record.id.as_deref().is_some_and(asked)).count() as u64;
    // A round holds each weight, divided by what all have in common.
    let wanted = rounds * round * weight / sum.max(1);
    let text =
        || format!("{host} of weight {weight} got {got} of {} requests, and should have got {wanted}", rounds * round);
    Case::of((got != wanted).then(|| Violation::found(text(), [line])))
}

#[cfg(test)]
mod tests {
    use mock_upstreams::journal::Event;

    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::What;

    #[test]
    fn fires_where_one_upstream_gets_anothers_request() {
        let mut twin = Twin::of_ejection(&LAW);
        let lines = twin.record.trace.lines.iter_mut().rev();
        let mut written = lines.filter(|line| matches!(line.what, What::Upstream(Event::Request(_))));
        let last = written.next().unwrap();
        let others = ["alpha", "beta"].map(crate::scenario::HostName::new);
        last.host = others.into_iter().find(|name| *name != last.host).unwrap();
        twin.fires();
    }
}
