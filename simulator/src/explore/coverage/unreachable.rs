//! What no sweep of made-up scenarios reaches, each with the reason. A sweep that reaches one of these says so, so that the list shrinks.

use super::catalogue::Item;

/// What items are called, or begin with, and why no sweep reaches them.
pub const UNREACHABLE: &[(&[&str], &str)] = &[
    (&["fault/backlog-full/"], "the default engine has no backlog that can be full and refuses the fault by name"),
    (
        &["action/delay", "action/loss"],
        "a made-up network is slow and loses packets from its start to its end, or not at all",
    ),
    (
        &[
            "outcome/bad_chunk_",
            "outcome/chunk_overhead",
            "outcome/bad_trailers",
            "outcome/bad_coding",
            "outcome/unknown_coding",
            "outcome/coding_in_http10",
            "outcome/length_and_coding",
            "outcome/many_lengths",
            "outcome/bad_length",
            "outcome/unexpected_body",
        ],
        "made-up clients frame their bodies as they should; tests of messages, and fuzzing, send the rest",
    ),
    (
        &[
            "outcome/bad_credentials",
            "outcome/bad_field",
            "outcome/bad_request_line",
            "outcome/bad_host",
            "outcome/no_host",
            "outcome/many_hosts",
            "outcome/bad_status_line",
            "outcome/empty_lines",
            "outcome/folded_line",
            "outcome/start_line_too_long",
            "outcome/too_many_fields",
            "outcome/unsupported_version",
        ],
        "made-up clients write heads well, or cut them, or write garbage, or no end; tests of messages, and fuzzing, send the rest",
    ),
    (
        &[
            "outcome/bad_target",
            "outcome/https_without_connect",
            "outcome/target_fragment",
            "outcome/stats_forbidden",
            "outcome/pages_only",
        ],
        "made-up clients ask for targets that are well formed, and for no pages but those of health",
    ),
    (&["outcome/loop"], "no made-up proxy has itself for an upstream, be it round a ring"),
    (&["outcome/no_upstream"], "the last upstream of a made-up proxy always has a weight"),
    (&["failure/dns_timeout", "outcome/dns_timeout"], "a made-up lookup takes half a second at most"),
    (
        &["failure/connect_failed", "outcome/connect_failed"],
        "a host of a simulated network accepts, refuses or is silent; nobody says that it can't be reached",
    ),
    (&["blame/client", "rule/client_went_away"], "an attempt whose client has gone is charged to nobody"),
    (
        &["failure/empty_tunnel", "outcome/empty_tunnel", "rule/delivered_elsewhere"],
        "each made-up request has a target of its own, and only what another upstream brings from the same target tells",
    ),
];

/// Why no sweep reaches `item`, if that is so.
pub fn why_unreachable(item: &Item) -> Option<&'static str> {
    let is = |names: &[&str]| names.iter().any(|name| item.starts_with(name));
    UNREACHABLE.iter().find(|(names, _)| is(names)).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::catalogue;
    use super::*;

    #[test]
    fn every_entry_stands_for_something_in_the_catalogue() {
        let all = catalogue();
        for (names, why) in UNREACHABLE {
            for name in *names {
                assert!(all.iter().any(|item| item.starts_with(name)), "{name} is in no catalogue");
            }
            assert!(why.len() > 10, "{names:?} have no reason");
        }
    }
}
