//! RFC 9209: what a proxy says of its errors. RFC 9931: what it does with bytes that a client sent too early.

use super::probe::{demand, get, ok};
use crate::conformance::message::contains;
use crate::conformance::requirement::{Level, Requirement};

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
        text: "A CONNECT that is refused ends the connection, and nothing behind it is taken for a request.",
        held_by: "nothing_behind_a_refused_connect_is_processed",
        needs: None,
        check: |bench| {
            let early = "GET http://a.test/smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
            let request = format!("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n{early}");
            let seen = bench.exchange(&request, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")?;
            let taken = seen.raw.iter().any(|raw| raw.starts_with(b"GET ") && contains(raw, b"smuggled"));
            let refused = seen.status().is_some_and(|status| status >= 400);
            demand(!taken && refused && seen.ended, || {
                format!(
                    "the client got {:?}, the bytes were taken for a request: {taken}, the connection ended: {}",
                    seen.status(),
                    seen.ended
                )
            })
        },
    },
];
