//! What no sweep of made-up scenarios reaches, each with the reason. A sweep that reaches one of these says so, so that the list shrinks.

use super::catalogue::Item;

/// Items, or what they begin with, and why no sweep reaches them.
pub const UNREACHABLE: &[(&str, &str)] =
    &[("fault/backlog-full/", "the default engine has no backlog that can be full and refuses the fault by name")];

/// Why no sweep reaches `item`, if that is so.
pub fn why_unreachable(item: &Item) -> Option<&'static str> {
    UNREACHABLE.iter().find(|(name, _)| item.starts_with(name)).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::catalogue;
    use super::*;

    #[test]
    fn every_entry_stands_for_something_in_the_catalogue() {
        let all = catalogue();
        for (name, why) in UNREACHABLE {
            assert!(all.iter().any(|item| item.starts_with(name)), "{name} is in no catalogue");
            assert!(why.len() > 10, "{name} has no reason");
        }
    }
}
