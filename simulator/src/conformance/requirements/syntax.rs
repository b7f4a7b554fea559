//! RFC 9112: how a proxy reads and writes messages.

use super::probe::{demand, forwarded, get, ok, post, returned};
use crate::conformance::bench::Bench;
use crate::conformance::message::{Message, contains};
use crate::conformance::requirement::{Level, Requirement};

pub(super) const RFC_9112: &[Requirement] = &[
    Requirement {
        section: "9112-2.2",
        level: Level::Must,
        text: "A bare CR in a request is refused or becomes a space.",
        held_by: "lines_with_two_readings_are_refused",
        needs: None,
        check: |bench| {
            let seen = bench.exchange(&get("X-A: a\rX-B: b\r\n"), &ok(""))?;
            let bare = |raw: &Vec<u8>| raw.windows(2).any(|two| two[0] == b'\r' && two[1] != b'\n');
            demand(!seen.raw.iter().any(bare), || "the upstream got a bare CR".to_owned())
        },
    },
    Requirement {
        section: "9112-2.2",
        level: Level::Must,
        text: "A line that begins with white space behind the start line is refused, or it is passed over.",
        held_by: "what_is_folded_must_have_begun",
        needs: None,
        check: |bench| {
            let request = "GET http://a.test/p HTTP/1.1\r\n X-Smuggled: 1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
            let seen = bench.exchange(request, &ok(""))?;
            demand(!seen.raw.iter().any(|raw| contains(raw, b"Smuggled")), || "the upstream got the line".to_owned())
        },
    },
    Requirement {
        section: "9112-2.2",
        level: Level::Should,
        text: "An empty line in front of a request is passed over.",
        held_by: "hostile_input_is_refused_and_harms_nobody",
        needs: None,
        check: |bench| forwarded(bench, &format!("\r\n{}", get(""))).map(drop),
    },
    Requirement {
        section: "9112-2.3",
        level: Level::Must,
        text: "A request is passed on in the proxy's own version, whatever came.",
        held_by: "an_old_client_gets_plain_bytes_and_an_end",
        needs: None,
        check: |bench| {
            let old = forwarded(bench, &get("").replacen("HTTP/1.1", "HTTP/1.0", 1))?;
            let new = forwarded(bench, &get(""))?;
            let version = |message: &Message| message.start().rsplit(' ').next().map(str::to_owned);
            demand(version(&old) == version(&new), || format!("{} and {}", old.start(), new.start()))
        },
    },
    Requirement {
        section: "9112-2.3",
        level: Level::Must,
        text: "A reply is passed on in the proxy's own version, whatever came.",
        held_by: "a_strict_client_reads_what_we_read",
        needs: None,
        check: |bench| {
            let old = returned(bench, &ok("").replacen("HTTP/1.1", "HTTP/1.0", 1))?;
            let new = returned(bench, &ok(""))?;
            let version = |message: &Message| message.start().split(' ').next().map(str::to_owned);
            demand(version(&old) == version(&new), || format!("{} and {}", old.start(), new.start()))
        },
    },
    Requirement {
        section: "9112-3.2",
        level: Level::Must,
        text: "A request of HTTP/1.1 without Host gets 400.",
        held_by: "host_must_be_there_once_and_be_one",
        needs: None,
        check: |bench| bench.exchange(&get("").replacen("Host: a.test\r\n", "", 1), &ok(""))?.refused(&[400]),
    },
    Requirement {
        section: "9112-3.2",
        level: Level::Must,
        text: "A request with two Hosts gets 400.",
        held_by: "host_must_be_there_once_and_be_one",
        needs: None,
        check: |bench| bench.exchange(&get("Host: b.test\r\n"), &ok(""))?.refused(&[400]),
    },
    Requirement {
        section: "9112-3.2.2",
        level: Level::Must,
        text: "A proxy is asked in absolute-form.",
        held_by: "every_method_reaches_the_target_in_absolute_form",
        needs: None,
        check: |bench| {
            let request = forwarded(bench, &get(""))?;
            demand(request.start().starts_with("GET http://a.test/p "), || request.start().to_owned())
        },
    },
    Requirement {
        section: "9112-3.2.2",
        level: Level::Must,
        text: "The Host that is passed on is that of the target, whatever came.",
        held_by: "a_head_keeps_what_is_for_the_target_and_loses_what_was_for_us",
        needs: None,
        check: |bench| {
            let request = forwarded(bench, &get("").replacen("Host: a.test", "Host: b.test", 1))?;
            demand(request.values("host") == ["a.test"], || request.head.clone())
        },
    },
    Requirement {
        section: "9112-5.1",
        level: Level::Must,
        text: "White space before the colon of a request's field gets 400.",
        held_by: "lines_with_one_reading_are_refused_in_requests_alone",
        needs: None,
        check: |bench| bench.exchange(&get("X-A : 1\r\n"), &ok(""))?.refused(&[400]),
    },
    Requirement {
        section: "9112-5.1",
        level: Level::Must,
        text: "White space before the colon of a reply's field is removed.",
        held_by: "a_response_is_mended_where_it_has_one_reading",
        needs: None,
        check: |bench| {
            let seen = bench.exchange(&get(""), &ok("X-A : 1\r\n"))?;
            demand(!contains(&seen.client, b"X-A :"), || "the client got the white space".to_owned())
        },
    },
    Requirement {
        section: "9112-5.2",
        level: Level::Must,
        text: "A folded line of a request gets 400, or is joined by a space.",
        held_by: "lines_with_one_reading_are_refused_in_requests_alone",
        needs: None,
        check: |bench| {
            let seen = bench.exchange(&get("X-A: 1\r\n 2\r\n"), &ok(""))?;
            demand(!seen.raw.iter().any(|raw| contains(raw, b"\r\n 2")), || "the upstream got the fold".to_owned())
        },
    },
    Requirement {
        section: "9112-5.2",
        level: Level::Must,
        text: "A folded line of a reply is joined by a space, or the reply is discarded with a 502.",
        held_by: "a_response_is_mended_where_it_has_one_reading",
        needs: None,
        check: |bench| {
            let seen = bench.exchange(&get(""), &ok("X-A: 1\r\n 2\r\n"))?;
            demand(!contains(&seen.client, b"\r\n 2"), || "the client got the fold".to_owned())
        },
    },
    Requirement {
        section: "9112-6.1",
        level: Level::Must,
        text: "No chunks go to a client of HTTP/1.0.",
        held_by: "an_old_client_gets_plain_bytes_and_an_end",
        needs: None,
        check: |bench| {
            let request = get("").replacen("HTTP/1.1", "HTTP/1.0", 1);
            let reply = bench.exchange(&request, CHUNKED)?.reply()?;
            demand(!reply.has("transfer-encoding") && reply.body == b"hello", || reply.head.clone())
        },
    },
    Requirement {
        section: "9112-6.3",
        level: Level::Must,
        text: "A request with Transfer-Encoding and Content-Length is refused, or passed on without the latter.",
        held_by: "a_request_body_is_framed_in_one_way",
        needs: None,
        check: |bench| {
            let seen = bench.exchange(
                &post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
                &ok(""),
            )?;
            let both = seen.requests.iter().any(|request| request.is_chunked() && request.has("content-length"));
            demand(!both, || "the upstream got both".to_owned())
        },
    },
    Requirement {
        section: "9112-6.3",
        level: Level::Must,
        text: "A reply with Transfer-Encoding and Content-Length is passed on without the latter, or discarded.",
        held_by: "a_connection_whose_reply_had_to_be_mended_is_not_used_again",
        needs: None,
        check: |bench| {
            let reply = returned(bench, &CHUNKED.replacen("Connection", "Content-Length: 3\r\nConnection", 1))?;
            demand(!(reply.is_chunked() && reply.has("content-length")), || reply.head.clone())
        },
    },
    Requirement {
        section: "9112-6.3",
        level: Level::Must,
        text: "A request with differing Content-Lengths gets 400, and its connection ends.",
        held_by: "a_request_body_is_framed_in_one_way",
        needs: None,
        check: |bench| {
            let request = post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello");
            refused_for_good(bench, &request, &[400])
        },
    },
    Requirement {
        section: "9112-6.3",
        level: Level::Must,
        text: "A request whose last transfer coding is not chunked gets 400 (or 501, if nobody knows that coding), and its connection ends.",
        held_by: "hostile_input_is_refused_and_harms_nobody",
        needs: None,
        check: |bench| {
            refused_for_good(
                bench,
                &post("Transfer-Encoding: chunked, gzip\r\n", "5\r\nhello\r\n0\r\n\r\n"),
                &[400, 501],
            )
        },
    },
    Requirement {
        section: "9112-6.3",
        level: Level::Must,
        text: "A reply with differing Content-Lengths is discarded, and the client gets 502.",
        held_by: "a_get_goes_on_where_a_reply_breaks_the_rules",
        needs: None,
        check: |bench| {
            let reply = returned(bench, &ok("Content-Length: 6\r\n"))?;
            demand(reply.status() == Some(502), || reply.head.clone())
        },
    },
    Requirement {
        section: "9112-7.1.1",
        level: Level::Must,
        text: "A chunk extension that is not known is passed over.",
        held_by: "a_chunked_body_is_written_anew",
        needs: None,
        check: |bench| {
            let request = post("Transfer-Encoding: chunked\r\n", "5;x=y\r\nhello\r\n0\r\n\r\n");
            let request = forwarded(bench, &request)?;
            demand(contains(&request.body, b"hello"), || String::from_utf8_lossy(&request.body).into_owned())
        },
    },
    Requirement {
        section: "9112-9.6",
        level: Level::Must,
        text: "Where the client says close, the connection ends behind the answer.",
        held_by: "a_client_that_asks_for_the_end_gets_it",
        needs: None,
        check: |bench| {
            let seen = bench.exchange(&get(""), &ok(""))?;
            let whole = seen.reply()?.body.ends_with(b"hello");
            demand(seen.ended && whole, || {
                format!("the connection ended: {}; the answer was whole: {whole}", seen.ended)
            })
        },
    },
];

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

fn refused_for_good(bench: &Bench, request: &str, statuses: &[u16]) -> Result<(), String> {
    let seen = bench.exchange(request, &ok(""))?;
    seen.refused(statuses)?;
    demand(seen.ended, || "the connection stayed open".to_owned())
}
