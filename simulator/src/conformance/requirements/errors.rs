//! RFC 9209: what a proxy says of its errors. RFC 9931: what it does with bytes that a client sent too early.

use super::probe::{demand, get, ok};
use crate::conformance::bench::{Bench, Seen};
use crate::conformance::message::contains;
use crate::conformance::requirement::{Level, Requirement};
use crate::subject::Feature;

pub(super) const RFC_9209_AND_9931: &[Requirement] = &[
    Requirement {
        section: "9209-2",
        level: Level::May,
        text: "An answer that the proxy makes up in place of an upstream's has a Proxy-Status with an error.",
        held_by: "when_everything_fails_the_client_hears_what_and_how_often",
        needs: None,
        check: |bench| {
            let reply = bench.exchange(&get(""), "this is no HTTP\r\n\r\n")?.reply()?;
            let says = reply.values("proxy-status").iter().any(|value| value.contains("error="));
            demand(says, || reply.head.clone())
        },
    },
    Requirement {
        section: "9209-2",
        level: Level::Should,
        text: "The member of another proxy is kept, and stands in front of the proxy's own.",
        held_by: "what_every_gateway_says_is_passed_on_and_ejects_nobody",
        needs: None,
        check: |bench| {
            let reply = bench.exchange(&get(""), &ok("Proxy-Status: inner\r\n"))?.reply()?;
            let status = reply.values("proxy-status").join(", ");
            demand(status.starts_with("inner"), || reply.head.clone())
        },
    },
    Requirement {
        section: "9931",
        level: Level::Must,
        text: "A CONNECT that the upstream refuses ends the connection, and nothing behind it is taken for a request.",
        held_by: "nothing_behind_a_refused_connect_is_processed",
        needs: None,
        check: |bench| ends(&ahead(bench, "a.test:443", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")?),
    },
    Requirement {
        section: "9931",
        level: Level::Must,
        text: "A CONNECT that the proxy itself refuses ends the connection, and nothing behind it is taken for a request.",
        held_by: "bytes_that_come_behind_the_refusal_are_not_served_either",
        needs: None,
        check: |bench| {
            let seen = ahead(bench, "a.test:99999", &ok(""))?;
            seen.refused(&(400..600).collect::<Vec<_>>())?;
            ends(&seen)
        },
    },
    Requirement {
        section: "9931",
        level: Level::Must,
        text: "A CONNECT that is refused for its credentials ends the connection where bytes are behind it, and none is taken for a request.",
        held_by: "a_407_closes_where_going_on_could_be_misread",
        needs: Some(Feature::ClientAuthentication),
        check: |bench| {
            let seen = ahead(bench, "a.test:443", &ok(""))?;
            seen.refused(&[407])?;
            ends(&seen)
        },
    },
    Requirement {
        section: "9931",
        level: Level::Must,
        text: "What a client sends behind its CONNECT waits for the upstream's 2xx, or the proxy's CONNECT says Connection: close.",
        held_by: "early_data_waits_for_the_2xx",
        needs: None,
        check: |bench| {
            let seen = ahead(bench, "a.test:443", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")?;
            let connect = seen.request()?;
            let closes = connect.values("connection").iter().any(|value| value.to_ascii_lowercase().contains("close"));
            demand(closes || !contains(&connect.body, b"GET "), || {
                format!("the upstream got {:?} with its CONNECT", String::from_utf8_lossy(&connect.body))
            })
        },
    },
];

/// What came of a CONNECT to `target` with a request for a page behind it, that a client in the middle might have been given to send, and that
/// the upstream answers with `reply`.
fn ahead(bench: &Bench, target: &str, reply: &str) -> Result<Seen, String> {
    // It would be let in where the CONNECT is not.
    let page =
        "GET http://a.test/smuggled HTTP/1.1\r\nHost: a.test\r\nProxy-Authorization: Basic YW5uOnNlY3JldA==\r\n\r\n";
    bench.exchange(&format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n{page}"), reply)
}

/// That the CONNECT was refused, and the connection ended without a look at what was behind it.
fn ends(seen: &Seen) -> Result<(), String> {
    let taken = seen.raw.iter().any(|raw| raw.starts_with(b"GET ") && contains(raw, b"smuggled"));
    let refused = seen.status().is_some_and(|status| status >= 400);
    demand(!taken && refused && seen.ended, || {
        let status = seen.status();
        format!(
            "the client got {status:?}, the bytes were taken for a request: {taken}, the connection ended: {}",
            seen.ended
        )
    })
}
