//! Writes as text what was reached of all that can happen.

use std::collections::BTreeMap;

use crate::explore::coverage::{Reached, catalogue, why_unreachable};

/// What was never reached: all of it, by kind, with the reason where it is known. Faults are told together where they were never seen in
/// any state. What is listed as unreachable and yet `swept` is told as well: a sweep has reached it.
pub fn coverage(reached: &Reached, swept: &Reached) -> String {
    let all = catalogue();
    let known = all.iter().filter(|item| reached.contains_key(*item)).count();
    let mut text = format!("reached {known} of {} things that can happen\n", all.len());
    let mut never: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut of_fault: BTreeMap<&str, (usize, Vec<&str>)> = BTreeMap::new();
    for item in &all {
        let (kind, rest) = item.split_once('/').unwrap_or((item, ""));
        let missing = !reached.contains_key(item);
        if let Some(why) = why_unreachable(item) {
            if missing {
                reasons.entry(why).or_default().push(item.clone());
            } else if swept.contains_key(item) {
                text.push_str(&format!("{item} was reached, though it is listed as unreachable: {why}\n"));
            }
            continue;
        }
        match rest.split_once('/') {
            Some((fault, state)) => {
                let entry = of_fault.entry(fault).or_default();
                entry.0 += 1;
                if missing {
                    entry.1.push(state);
                }
            }
            None if missing => never.entry(kind).or_default().push(rest.to_owned()),
            None => {}
        }
    }
    for (fault, (states, missing)) in of_fault {
        if missing.len() == states {
            never.entry("fault").or_default().push(fault.to_owned());
        } else if !missing.is_empty() {
            never.entry("fault in a state").or_default().push(format!("{fault} ({})", missing.join(" ")));
        }
    }
    for (kind, names) in never {
        text.push_str(&format!("never {kind}: {}\n", names.join(", ")));
    }
    for (why, items) in reasons {
        text.push_str(&format!("unreachable, {} of them: {why}\n", items.len()));
    }
    let unknown: Vec<&str> = reached.keys().filter(|item| !all.contains(*item)).map(String::as_str).collect();
    if !unknown.is_empty() {
        text.push_str(&format!("not in the catalogue: {}\n", unknown.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_reached_is_told_by_kind() {
        let reached =
            ["event/ejected", "fault/refuse/eligible/idle", "outcome/made_up", "fault/backlog-full/eligible/idle"];
        let reached = reached.iter().map(|item| ((*item).to_owned(), 2)).collect();
        let text = coverage(&reached, &reached);
        let line = |begin: &str| text.lines().find(|line| line.starts_with(begin)).unwrap_or_default();
        assert!(line("reached 3 of ").ends_with("things that can happen"), "{text}");
        assert!(!line("never event: ").contains("ejected") && line("never event: ").contains("drained"), "{text}");
        assert!(line("never fault: ").contains("accept-close") && !line("never fault: ").contains("refuse,"), "{text}");
        assert!(line("never fault in a state: ").contains("refuse (ejected/drain"), "{text}");
        assert_eq!(line("not in the catalogue: "), "not in the catalogue: outcome/made_up");
        assert!(line("fault/backlog-full/eligible/idle was reached").contains("listed as unreachable"), "{text}");
        assert!(!coverage(&reached, &Reached::new()).contains("listed as unreachable"), "a story may reach it");
    }
}
