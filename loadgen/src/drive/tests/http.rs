//! What clients of HTTP/1 do besides plain requests: pipelines, bodies that wait, framings, abuse.

use std::rc::Rc;

use super::*;

/// Reads until as many heads have come as it is told, or the other side has ended.
async fn heads(stream: &mut DuplexStream, count: usize) -> String {
    let mut text = String::new();
    while text.matches("\r\n\r\n").count() < count {
        let mut piece = [0; 500];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(got) => text.push_str(&String::from_utf8_lossy(&piece[..got])),
        }
    }
    text
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_do_not_wait_for_one_another() {
    let good = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\0";
    let done = against(&closed(3, 6, "http:bytes=1,pipeline=3"), |mut stream| async move {
        loop {
            let asked = heads(&mut stream, 3).await;
            if asked.is_empty() {
                return;
            }
            assert_eq!(asked.matches("GET http://").count(), 3, "{asked}");
            let _ = stream.write_all(good.repeat(3).as_bytes()).await;
        }
    })
    .await;
    assert!(done.iter().all(|one| one.outcome == Ok(()) && one.status == Some(200)), "{done:?}");
    assert_eq!(done.iter().map(|one| one.reused).collect::<Vec<_>>(), [false, true, true, true, true, true]);
    let ids: Vec<_> = done.iter().map(|one| one.request.id.as_str()).collect();
    assert_eq!(ids, ["r0", "r1", "r2", "r3", "r4", "r5"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_pipeline_leaves_without_an_answer_is_asked_again() {
    // Each connection has one answer, and says so or does not.
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n\0",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\0",
    ] {
        let done = against(&closed(3, 3, "http:bytes=1,pipeline=3"), |stream| answer(stream, text)).await;
        assert!(done.iter().all(|one| one.outcome == Ok(()) && !one.reused), "{done:?}");
    }
    // An answer that breaks off is one, and those behind it have theirs.
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\0\x01";
    let first = std::cell::Cell::new(true);
    let serve = |stream| answer(stream, if first.replace(false) { &whole[..whole.len() - 1] } else { whole });
    let done = against(&closed(3, 3, "http:bytes=2,pipeline=3"), serve).await;
    let outcomes: Vec<_> = done.iter().map(|one| one.outcome).collect();
    assert_eq!(outcomes, [Err(FailureKind::Cut.at(Phase::Data)), Ok(()), Ok(())]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_too_many_is_noticed_behind_a_pipeline() {
    let good = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\0";
    let done = against(&closed(2, 2, "http:bytes=1,pipeline=2"), |mut stream| async move {
        heads(&mut stream, 2).await;
        let _ = stream.write_all(good.repeat(3).as_bytes()).await;
        heads(&mut stream, 1).await;
    })
    .await;
    let outcomes: Vec<_> = done.iter().map(|one| one.outcome).collect();
    assert_eq!(outcomes, [Ok(()), Err(FailureKind::Corrupt.at(Phase::Data))]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_waits_is_sent_behind_the_100_only() {
    let asked = Rc::new(RefCell::new(String::new()));
    for (text, sent) in [("HTTP/1.1 100 Continue\r\n\r\n", 20), ("HTTP/1.1 103 Early\r\n\r\n", 0)] {
        let workload = closed(1, 1, "http:path=/x,method=POST,send=20,expect");
        let serve = |mut stream: DuplexStream| {
            let asked = asked.clone();
            async move {
                let head = heads(&mut stream, 1).await;
                assert!(head.ends_with("\r\n\r\n"), "no body may follow yet: {head}");
                *asked.borrow_mut() = head;
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.read_exact(&mut vec![0; sent.max(1)]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            }
        };
        let done = against(&workload, serve).await;
        assert!(asked.borrow().contains("Expect: 100-continue\r\n"));
        assert_eq!(done[0].up.bytes, sent as u64, "{text}");
        let outcome = if sent > 0 { Ok(()) } else { Err(FailureKind::Timeout.at(Phase::Reply)) };
        assert_eq!(done[0].outcome, outcome, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_says_how_the_body_and_the_connection_end() {
    for (action, head, body) in [
        ("http:send=3,chunked,keep-alive", "Transfer-Encoding: chunked\r\n", "1\r\n"),
        ("http:chunked,trailers", "Connection: close, TE\r\nTE: trailers\r\n", "0\r\nx-checksum: 00000000\r\n\r\n"),
        ("http:chunked,trailers", "Trailer: x-checksum\r\n", "0\r\n"),
        ("http:version=1.0,keep-alive", " HTTP/1.0\r\n", ""),
        ("page:path=/healthz", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n", ""),
        ("http:version=1.0,keep-alive", "Connection: keep-alive\r\n", ""),
    ] {
        let text = Rc::new(RefCell::new(String::new()));
        let seen = text.clone();
        let serve = move |mut stream: DuplexStream| {
            let seen = seen.clone();
            async move {
                // The end of a body in chunks looks like that of a head.
                *seen.borrow_mut() = heads(&mut stream, if body.is_empty() { 1 } else { 2 }).await;
            }
        };
        against(&closed(1, 1, action), serve).await;
        let text = text.borrow();
        let (top, rest) = text.split_once("\r\n\r\n").unwrap();
        assert!(format!("{top}\r\n").contains(head), "{action}: {top}");
        assert!(rest.starts_with(body), "{action}: {rest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn abuse_has_to_be_turned_away_by_its_own_answer() {
    let refusal = |status| format!("HTTP/1.1 {status} No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
    for (action, begin, status) in [
        ("abuse:by=silence", "", None),
        ("abuse:by=half-head", "GET http://http.mock/ HTTP/1.1\r\n", Some(408)),
        ("abuse:by=cut-head", "GET http://http.mock/ HTTP/1.1\r\n", Some(400)),
        ("abuse:by=long-head", "GET http://http.mock/ HTTP/1.1\r\n", Some(431)),
        ("abuse:by=garbage", "\u{fffd}", Some(400)),
        ("abuse:by=half-body", "POST http://sink.mock/ HTTP/1.1\r\n", Some(408)),
        ("abuse:by=cut-body", "POST http://sink.mock/ HTTP/1.1\r\n", Some(400)),
        ("abuse:by=lingering", "GET http://http.mock/ HTTP/1.1\r\n", Some(200)),
    ] {
        for answered in [None, Some(200), Some(400), Some(408), Some(431)] {
            let text = answered.map(refusal).unwrap_or_default();
            let serve = |mut stream: DuplexStream| {
                let text = text.clone();
                async move {
                    if !begin.is_empty() {
                        let mut piece = [0; 500];
                        let got = stream.read(&mut piece).await.unwrap();
                        assert!(String::from_utf8_lossy(&piece[..got]).starts_with(begin), "{action}");
                    }
                    if action.contains("=cut-") {
                        // It ends its side, and waits for the answer.
                        stream.read_to_end(&mut Vec::new()).await.unwrap();
                    }
                    let _ = stream.write_all(text.as_bytes()).await;
                }
            };
            let done = against(&closed(1, 1, action), serve).await;
            assert_eq!(done[0].outcome.is_ok(), answered == status, "{action} {answered:?}: {:?}", done[0].outcome);
            assert_eq!(done[0].status, answered.filter(|_| done[0].status.is_some()), "{action}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_logs_in_is_served_as_itself() {
    let upstream = upstream();
    for action in ["http:login=negotiate/ann", "http:login=ntlm/ben,keep-alive", "http"] {
        let done = run(&closed(1, 2, action), &upstream).await;
        assert!(done.iter().all(|one| one.outcome == Ok(())), "{action}: {done:?}");
    }
    let seen: Vec<_> = upstream.journal().requests().into_iter().map(|record| record.served_as).collect();
    let [ann, ben] = ["ann", "ben"].map(|name| Some(name.to_owned()));
    assert_eq!(seen, [ann.clone(), ann, ben.clone(), ben, None, None]);
}
