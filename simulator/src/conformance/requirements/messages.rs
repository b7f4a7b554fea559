//! RFC 9110: what a proxy does with messages.

use super::probe::{demand, forwarded, get, ok, post, returned};
use super::trailers;
use crate::conformance::bench::Bench;
use crate::conformance::message::{Message, contains, replies};
use crate::conformance::requirement::{Level, Requirement};
use crate::subject::Feature;

pub(super) const RFC_9110: &[Requirement] = &[
    Requirement {
        section: "9110-5.1",
        level: Level::Must,
        text: "A field that the proxy does not know is passed on.",
        held_by: "a_head_keeps_what_is_for_the_target_and_loses_what_was_for_us",
        needs: None,
        check: |bench| {
            let request = forwarded(bench, &get("X-New: 1\r\n"))?;
            demand(request.values("x-new") == ["1"], || request.head.clone())
        },
    },
    Requirement {
        section: "9110-5.3",
        level: Level::Must,
        text: "Lines of one name keep their order.",
        held_by: "a_head_keeps_what_is_for_the_target_and_loses_what_was_for_us",
        needs: None,
        check: |bench| {
            let request = forwarded(bench, &get("X-A: 1\r\nX-B: x\r\nX-A: 2\r\nX-A: 3\r\n"))?;
            let values = request.values("x-a").join(",").replace(' ', "");
            demand(values == "1,2,3", || values.clone())
        },
    },
    Requirement {
        section: "9110-5.5",
        level: Level::Must,
        text: "No NUL passes in a field's value: the message is refused, or it becomes a space.",
        held_by: "lines_with_two_readings_are_refused",
        needs: None,
        check: |bench| {
            let seen = bench.exchange(&get("X-A: a\0b\r\n"), &ok(""))?;
            demand(!seen.raw.iter().any(|raw| contains(raw, b"\0")), || "the upstream got a NUL".to_owned())
        },
    },
    Requirement {
        section: "9110-6.5",
        level: Level::May,
        text: "The trailers of a reply reach a client that says TE: trailers.",
        held_by: "chunks_are_written_anew_and_trailers_kept_both_ways",
        needs: None,
        check: |bench| trailers::of_a_reply(bench, "", "X-Late: 1", trailers::are_there),
    },
    Requirement {
        section: "9110-6.5.1",
        level: Level::Must,
        text: "No trailer of a reply stands in the head that the client gets.",
        held_by: "trailers_that_belong_into_a_head_are_dropped",
        needs: None,
        check: |bench| {
            trailers::of_a_reply(bench, "", "X-Late: 1\r\nETag: \"1\"\r\nX-Head: 2", trailers::stay_out_of_the_head)
        },
    },
    Requirement {
        section: "9110-6.5.1",
        level: Level::Must,
        text: "No trailer of a request stands in the head that is passed on.",
        held_by: "trailers_that_belong_into_a_head_are_dropped",
        needs: None,
        check: trailers::of_a_request,
    },
    Requirement {
        section: "9110-6.6.1",
        level: Level::Must,
        text: "A reply without Date gets one.",
        held_by: "every_method_reaches_the_target_in_absolute_form",
        needs: None,
        check: |bench| has(&returned(bench, &ok(""))?, "Date"),
    },
    Requirement {
        section: "9110-7.6.1",
        level: Level::Must,
        text: "Connection, and each field that it names, is removed from a request.",
        held_by: "what_ends_at_this_hop_is_stripped",
        needs: None,
        check: |bench| {
            let text = "GET http://a.test/p HTTP/1.1\r\nHost: a.test\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nX-End: 1\r\n\r\n";
            let request = forwarded(bench, text)?;
            demand(request.has("x-end") && ends_hop(&request), || request.head.clone())
        },
    },
    Requirement {
        section: "9110-7.6.1",
        level: Level::Must,
        text: "Connection, and each field that it names, is removed from a reply.",
        held_by: "what_ends_at_this_hop_is_stripped",
        needs: None,
        check: |bench| {
            let reply =
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nX-End: 1\r\n\r\nhello";
            let reply = returned(bench, reply)?;
            demand(reply.has("x-end") && ends_hop(&reply), || reply.head.clone())
        },
    },
    Requirement {
        section: "9110-7.6.1",
        level: Level::Must,
        text: "A trailer that Connection names is removed from a reply.",
        held_by: "trailers_named_by_connection_end_here",
        needs: None,
        check: |bench| trailers::of_a_reply(bench, ", X-Late", "X-Late: 1", |seen| !trailers::are_there(seen)),
    },
    Requirement {
        section: "9110-7.6.1",
        level: Level::Should,
        text: "Proxy-Connection, Keep-Alive, TE and Upgrade end here, named by Connection or not.",
        held_by: "what_ends_at_this_hop_is_stripped",
        needs: None,
        check: |bench| {
            let fields = "Keep-Alive: timeout=9\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nUpgrade: x/1\r\n";
            let request = forwarded(bench, &get(fields))?;
            let ours = |value: &&str| value.eq_ignore_ascii_case("trailers");
            let passed = request.values("te").into_iter().filter(|value| !ours(value)).count()
                + ["keep-alive", "proxy-connection", "upgrade"].iter().filter(|name| request.has(name)).count();
            demand(passed == 0, || request.head.clone())
        },
    },
    Requirement {
        section: "9110-7.6.2",
        level: Level::Must,
        text: "An OPTIONS with Max-Forwards: 0 is answered by the proxy and passed on to nobody.",
        held_by: "max_forwards_counts_down_and_ends_here_at_zero",
        needs: None,
        check: |bench| ends_here(bench, "OPTIONS"),
    },
    Requirement {
        section: "9110-7.6.2",
        level: Level::Must,
        text: "A TRACE with Max-Forwards: 0 is answered by the proxy and passed on to nobody.",
        held_by: "max_forwards_counts_down_and_ends_here_at_zero",
        needs: None,
        check: |bench| ends_here(bench, "TRACE"),
    },
    Requirement {
        section: "9110-7.6.2",
        level: Level::Must,
        text: "Max-Forwards of an OPTIONS is one less when it is passed on.",
        held_by: "max_forwards_counts_down_and_ends_here_at_zero",
        needs: None,
        check: |bench| {
            let request = forwarded(bench, &get("Max-Forwards: 5\r\n").replacen("GET", "OPTIONS", 1))?;
            demand(request.values("max-forwards") == ["4"], || request.head.clone())
        },
    },
    Requirement {
        section: "9110-7.6.3",
        level: Level::Must,
        text: "A request that is passed on has a Via of the proxy, behind those that it had, with the version received.",
        held_by: "the_clients_via_is_kept_in_front_of_ours",
        needs: None,
        check: |bench| {
            let request = forwarded(bench, &get("Via: 1.0 earlier\r\n"))?;
            let via = request.values("via").join(", ");
            let own = via
                .strip_prefix("1.0 earlier, ")
                .is_some_and(|own| own.starts_with("1.1 ") || own.starts_with("HTTP/1.1 "));
            demand(own, || format!("Via: {via}"))
        },
    },
    Requirement {
        section: "9110-7.6.3",
        level: Level::Must,
        text: "A reply that is passed on has a Via of the proxy.",
        held_by: "interim_answers_are_passed_on",
        needs: None,
        check: |bench| has(&returned(bench, &ok(""))?, "Via"),
    },
    Requirement {
        section: "9110-7.7",
        level: Level::Must,
        text: "Path and query pass as they came.",
        held_by: "a_path_and_its_query_pass_as_they_came",
        needs: None,
        check: |bench| {
            let target = "http://a.test/a//b/../%7ec;x?q=%41&r=/../";
            let request = forwarded(bench, &get("").replacen("http://a.test/p", target, 1))?;
            demand(request.start().contains("/a//b/../%7ec;x?q=%41&r=/../ "), || request.start().to_owned())
        },
    },
    Requirement {
        section: "9110-8.6",
        level: Level::Must,
        text: "No message with a malformed Content-Length is passed on.",
        held_by: "a_request_body_is_framed_in_one_way",
        needs: None,
        check: |bench| {
            let seen = bench.exchange(&post("Content-Length: 5x\r\n", "hello"), &ok(""))?;
            let refused = seen.status().is_some_and(|status| status >= 400);
            demand(seen.raw.is_empty() && refused, || format!("the client got {:?}", seen.status()))
        },
    },
    Requirement {
        section: "9110-9.1",
        level: Level::Should,
        text: "A method that the proxy does not know is passed on.",
        held_by: "every_method_reaches_the_target_in_absolute_form",
        needs: None,
        check: |bench| {
            let request = forwarded(bench, &get("").replacen("GET", "FETCH", 1))?;
            demand(request.start().starts_with("FETCH "), || request.start().to_owned())
        },
    },
    Requirement {
        section: "9110-9.3.2",
        level: Level::Must,
        text: "Nothing comes behind the head of a reply to HEAD.",
        held_by: "replies_without_a_body_leave_the_connection_usable",
        needs: None,
        check: |bench| {
            // The upstream sends what must not come.
            let reply = bench.exchange(&get("").replacen("GET", "HEAD", 1), &ok(""))?.reply()?;
            demand(reply.status() == Some(200) && reply.body.is_empty(), || reply.start().to_owned())
        },
    },
    Requirement {
        section: "9110-9.3.6",
        level: Level::Must,
        text: "A 2xx to CONNECT says nothing of a body: neither Content-Length nor Transfer-Encoding.",
        held_by: "odd_but_good_replies_open_the_tunnel",
        needs: None,
        check: |bench| {
            let reply = bench.exchange(CONNECT, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")?.reply()?;
            demand(!reply.has("content-length") && !reply.has("transfer-encoding"), || reply.head.clone())
        },
    },
    Requirement {
        section: "9110-9.3.6",
        level: Level::Must,
        text: "All that comes behind a 2xx to CONNECT is the tunnel's, whatever the 2xx says of a body.",
        held_by: "odd_but_good_replies_open_the_tunnel",
        needs: None,
        check: |bench| {
            let reply = bench.exchange(CONNECT, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello")?.reply()?;
            demand(reply.body == b"hello", || format!("the tunnel brought {:?}", String::from_utf8_lossy(&reply.body)))
        },
    },
    Requirement {
        section: "9110-10.1.1",
        level: Level::Must,
        text: "Expect: 100-continue is passed on, or answered at once with a final status.",
        held_by: "the_client_is_told_to_go_on_when_the_upstream_says_so",
        needs: None,
        check: |bench| {
            let head = post("Content-Length: 5\r\nExpect: 100-continue\r\n", "");
            let seen = bench.steps(&[&head, "hello"], &ok(""))?;
            let told = replies(&seen.before_last).first().and_then(Message::status);
            let passed = seen.request().is_ok_and(|request| request.has("expect") && request.body == b"hello");
            demand(passed && told == Some(100) || told.is_some_and(|status| status >= 200), || {
                format!("{told:?} came before the body was sent")
            })
        },
    },
    Requirement {
        section: "9110-11.7.1",
        level: Level::Must,
        text: "A 407 of the proxy has a Proxy-Authenticate with a challenge.",
        held_by: "credentials_are_asked_for_where_configured",
        needs: Some(Feature::ClientAuthentication),
        check: |bench| {
            let seen = bench.exchange(&get(""), &ok(""))?;
            seen.refused(&[407])?;
            has(&seen.reply()?, "Proxy-Authenticate")
        },
    },
    Requirement {
        section: "9110-11.7.2",
        level: Level::Must,
        text: "Credentials that the proxy asked for are passed on to nobody.",
        held_by: "upstreams_see_their_own_credentials_and_never_the_clients",
        needs: Some(Feature::ClientAuthentication),
        check: |bench| {
            let request = forwarded(bench, &get("Proxy-Authorization: Basic YW5uOnNlY3JldA==\r\n"))?;
            demand(!request.has("proxy-authorization"), || request.head.clone())
        },
    },
    Requirement {
        section: "9110-15.2",
        level: Level::Must,
        text: "An interim reply is passed on.",
        held_by: "interim_answers_are_passed_on",
        needs: None,
        check: |bench| {
            let statuses = early_hints(bench, "HTTP/1.1")?;
            demand(statuses == [103, 200], || format!("the client got {statuses:?}"))
        },
    },
    Requirement {
        section: "9110-15.2",
        level: Level::Must,
        text: "No interim reply goes to a client of HTTP/1.0.",
        held_by: "a_client_of_http_1_0_hears_no_interim_answer",
        needs: None,
        check: |bench| {
            let statuses = early_hints(bench, "HTTP/1.0")?;
            demand(statuses == [200], || format!("the client got {statuses:?}"))
        },
    },
];

const CONNECT: &str = "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n";

fn has(message: &Message, field: &str) -> Result<(), String> {
    demand(message.has(field), || format!("no {field}: {}", message.head))
}

/// Whether neither the field X-Hop is there, nor a Connection that names it.
fn ends_hop(message: &Message) -> bool {
    let names = |value: &&str| value.split(',').any(|one| one.trim().eq_ignore_ascii_case("x-hop"));
    !message.has("x-hop") && !message.values("connection").iter().any(names)
}

fn ends_here(bench: &Bench, method: &str) -> Result<(), String> {
    let seen = bench.exchange(&get("Max-Forwards: 0\r\n").replacen("GET", method, 1), &ok(""))?;
    demand(seen.raw.is_empty() && seen.status().is_some(), || match seen.status() {
        Some(status) => format!("{} requests reached the upstream, and the client got {status}", seen.raw.len()),
        None => "the client got no answer".to_owned(),
    })
}

/// The statuses that a client of `version` got when the upstream sent a 103 before its answer.
fn early_hints(bench: &Bench, version: &str) -> Result<Vec<u16>, String> {
    let reply = format!("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n{}", ok(""));
    let seen = bench.exchange(&get("").replacen("HTTP/1.1", version, 1), &reply)?;
    Ok(seen.replies().iter().filter_map(Message::status).collect())
}
