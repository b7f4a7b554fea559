//! Tests which heads are read, as what, and why others are refused.

use bytes::BytesMut;

use super::*;
use crate::http::authority::AuthorityError;

const LIMITS: HeadLimits = HeadLimits { max_bytes: 256, max_fields: 8 };

/// Reads a request the whole way, as a session does.
fn request(text: &[u8]) -> Result<(RequestHead, Framing), HeadError> {
    let head = parse_request(text, LIMITS)?;
    check_request(&head)?;
    let framing = request_framing(&head)?;
    Ok((head, framing))
}

fn response(text: &[u8], method: &str) -> Result<(ResponseHead, Framing), HeadError> {
    let mut head = parse_response(text, LIMITS)?;
    let framing = response_framing(&mut head, &Method::new(method).unwrap())?;
    Ok((head, framing))
}

/// `fields` under a good request line and Host.
fn with_fields(fields: &str) -> Vec<u8> {
    format!("POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n").into_bytes()
}

fn fields(lines: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in lines {
        fields.push(name, value);
    }
    fields
}

#[test]
fn a_request_is_taken_apart() {
    let (head, framing) = request(
        b"\r\nPOST http://a.example/x?y HTTP/1.1\r\nhOST: a.example:80\r\nX-Empty:\r\nX: \t two words \t\r\nContent-Length: 5\r\n\r\n",
    )
    .unwrap();
    assert_eq!(head.method.as_str(), "POST");
    assert_eq!(head.target, "http://a.example/x?y");
    assert_eq!(head.version, Version::Http11);
    let lines: Vec<_> = head.fields.iter().collect();
    assert_eq!(
        lines,
        [("hOST", &b"a.example:80"[..]), ("X-Empty", b""), ("X", b"two words"), ("Content-Length", b"5")]
    );
    assert_eq!(framing, Framing::Length(5));
}

#[test]
fn a_response_is_taken_apart() {
    for (line, status, reason) in [
        ("HTTP/1.1 200 OK", 200, "OK"),
        ("HTTP/1.0 404 Not  Found ", 404, "Not  Found "),
        ("HTTP/1.1 299 ", 299, ""),
        ("HTTP/1.1 599", 599, ""),
        ("HTTP/1.1 100 \u{e9}t\u{e9}", 100, "\u{e9}t\u{e9}"),
        ("HTTP/1.1 999 Odd", 999, "Odd"),
        ("HTTP/1.1  200\t OK", 200, " OK"),
        ("\r\nHTTP/1.7 200 OK", 200, "OK"),
    ] {
        let head = parse_response(format!("{line}\r\nA: b\r\n\r\n").as_bytes(), LIMITS).unwrap();
        assert_eq!((head.status, &head.reason[..]), (status, reason.as_bytes()), "{line}");
        assert_eq!(head.fields, fields(&[("A", "b")]));
    }
}

#[test]
fn hostile_request_lines_are_refused() {
    for (line, error) in [
        ("", HeadError::RequestLine),
        ("\r\n", HeadError::EmptyLines),
        ("GET", HeadError::RequestLine),
        ("GET /", HeadError::RequestLine),
        ("GET  / HTTP/1.1", HeadError::RequestLine),
        ("GET /  HTTP/1.1", HeadError::RequestLine),
        ("GET / HTTP/1.1 ", HeadError::RequestLine),
        ("GET\t/ HTTP/1.1", HeadError::RequestLine),
        (" GET / HTTP/1.1", HeadError::Folded),
        ("G@T / HTTP/1.1", HeadError::RequestLine),
        ("GET /a b HTTP/1.1", HeadError::RequestLine),
        ("GET /\u{e9} HTTP/1.1", HeadError::RequestLine),
        ("GET /\x7f HTTP/1.1", HeadError::ControlByte),
        ("GET /\0 HTTP/1.1", HeadError::ControlByte),
        ("GET / http/1.1", HeadError::RequestLine),
        ("GET / HTTP/1.", HeadError::RequestLine),
        ("GET / HTTP/11", HeadError::RequestLine),
        ("GET / HTTP/1.10", HeadError::RequestLine),
        ("GET / HTTPS/1.1", HeadError::RequestLine),
        ("GET / HTTP/0.9", HeadError::Version),
        ("GET / HTTP/1.2", HeadError::Version),
        ("PRI * HTTP/2.0", HeadError::Version),
    ] {
        let head = format!("{line}\r\nHost: a.example\r\n\r\n");
        assert_eq!(request(head.as_bytes()).unwrap_err(), error, "{line:?}");
    }
}

/// What a request is refused for with these lines, and a response.
fn refusals(lines: &[u8]) -> (HeadError, Option<HeadError>) {
    let text = [&b"GET / HTTP/1.1\r\nHost: a\r\n"[..], lines, b"\r\n"].concat();
    let refused = request(&text).unwrap_err();
    let text = [&b"HTTP/1.1 200 OK\r\nHost: a\r\n"[..], lines, b"\r\n"].concat();
    (refused, response(&text, "GET").err())
}

#[test]
fn lines_with_two_readings_are_refused() {
    for (lines, error) in [
        (&b"Bad\r: x\r\n"[..], HeadError::BareCr),
        (b"Bad: x\r\r\n", HeadError::BareCr),
        (b"Bad: x\ry\r\n", HeadError::BareCr),
        (b"Bad: x\n", HeadError::BareLf),
        (b"Bad: x\n\nGET / HTTP/1.1\r\n", HeadError::BareLf),
        (b"Bad: \0\r\n", HeadError::ControlByte),
        (b"Good: x\r\n \r\n", HeadError::Folded),
        (b"Bad name: x\r\n", HeadError::Field),
        (b"B\xe4d: x\r\n", HeadError::Field),
        (b": x\r\n", HeadError::Field),
        (b"no colon\r\n", HeadError::Field),
        (b"Transfer-Encoding\r\n", HeadError::Field),
        (b"A:1\r\nA:2\r\nA:3\r\nA:4\r\nA:5\r\nA:6\r\nA:7\r\nA:8\r\n", HeadError::TooManyFields),
    ] {
        assert_eq!(refusals(lines), (error, Some(error)), "{:?}", String::from_utf8_lossy(lines));
    }
}

#[test]
fn lines_with_one_reading_are_refused_in_requests_alone() {
    for (lines, error) in [
        (&b"Bad: \x0b\r\n"[..], HeadError::ControlByte),
        (b"Bad: \x1b[2J\r\n", HeadError::ControlByte),
        (b"Bad: \x7f\r\n", HeadError::ControlByte),
        (b"Good: x\r\n folded\r\n", HeadError::Folded),
        (b"Good: x\r\n\tfolded\r\n", HeadError::Folded),
        (b" folded: x\r\n", HeadError::Folded),
        (b"Bad : x\r\n", HeadError::Field),
        (b"Bad\t: x\r\n", HeadError::Field),
        (b"B(d): x\r\n", HeadError::Field),
    ] {
        assert_eq!(refusals(lines), (error, None), "{:?}", String::from_utf8_lossy(lines));
    }
}

#[test]
fn hostile_status_lines_are_refused() {
    for (line, error) in [
        ("HTTP/1.1", HeadError::StatusLine),
        ("HTTP/1.1 ", HeadError::StatusLine),
        ("HTTP/1.1 20", HeadError::StatusLine),
        ("HTTP/1.1 2000", HeadError::StatusLine),
        ("HTTP/1.1 200OK", HeadError::StatusLine),
        ("HTTP/1.1 2x0 OK", HeadError::StatusLine),
        ("HTTP/1.1 +20 OK", HeadError::StatusLine),
        ("HTTP/1.1 099 OK", HeadError::StatusLine),
        ("HTTP/2.0 200 OK", HeadError::Version),
        ("http/1.1 200 OK", HeadError::StatusLine),
        ("ICY 200 OK", HeadError::StatusLine),
        ("HTTP/1.1 200 OK\rHTTP/1.1 200 OK", HeadError::BareCr),
        ("HTTP/1.1 407 x\nHTTP/1.1 200 OK", HeadError::BareCr),
        // A forged second status line is no field.
        ("HTTP/1.1 407 x\r\nHTTP/1.1 200 OK", HeadError::Field),
    ] {
        let head = format!("{line}\r\nA: b\r\n\r\n");
        assert_eq!(response(head.as_bytes(), "GET").unwrap_err(), error, "{line:?}");
    }
}

#[test]
fn bytes_around_the_head_are_refused() {
    for text in [&b""[..], b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n\r\nx", b"\r\n", b"\r\n\r\n\r\n"] {
        assert!(parse_request(text, LIMITS).is_err(), "{text:?}");
        assert!(parse_response(text, LIMITS).is_err(), "{text:?}");
    }
}

#[test]
fn host_must_be_there_once_and_be_one() {
    let with_host =
        |version: &str, lines: &str| request(format!("GET / {version}\r\n{lines}\r\n").as_bytes()).map(drop);
    assert_eq!(with_host("HTTP/1.1", ""), Err(HeadError::NoHost));
    assert_eq!(with_host("HTTP/1.0", ""), Ok(()));
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        assert_eq!(with_host(version, "Host: [::1]:8080\r\n"), Ok(()));
        assert_eq!(with_host(version, "Host: a\r\nhost: a\r\n"), Err(HeadError::ManyHosts));
        for (host, error) in [
            ("", AuthorityError::NoHost),
            ("a, b", AuthorityError::Name),
            ("a/b", AuthorityError::Name),
            ("u@a", AuthorityError::UserInfo),
            ("a:0x50", AuthorityError::Port),
            ("127.1", AuthorityError::Ipv4),
        ] {
            assert_eq!(with_host(version, &format!("Host: {host}\r\n")), Err(HeadError::Host(error)), "{host}");
        }
    }
}

#[test]
fn a_request_body_is_framed_in_one_way() {
    for (lines, expected) in [
        ("", Ok(Framing::None)),
        ("Content-Length: 0\r\n", Ok(Framing::Length(0))),
        ("Content-Length: 18446744073709551615\r\n", Ok(Framing::Length(u64::MAX))),
        ("Content-Length: 18446744073709551616\r\n", Err(HeadError::Length)),
        ("Content-Length:\r\n", Err(HeadError::Length)),
        ("Content-Length: +5\r\n", Err(HeadError::Length)),
        ("Content-Length: -5\r\n", Err(HeadError::Length)),
        ("Content-Length: 5, 5\r\n", Err(HeadError::Length)),
        ("Content-Length: 5 5\r\n", Err(HeadError::Length)),
        ("Content-Length: 0x5\r\n", Err(HeadError::Length)),
        ("Content-Length: 5.0\r\n", Err(HeadError::Length)),
        ("Content-Length: \u{0665}\r\n", Err(HeadError::Length)),
        ("Content-Length: 5\r\ncontent-length: 5\r\n", Err(HeadError::ManyLengths)),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(HeadError::ManyLengths)),
        ("Transfer-Encoding: chunked\r\n", Ok(Framing::Chunked)),
        ("transfer-encoding: ChunKed\r\n", Ok(Framing::Chunked)),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Err(HeadError::LengthAndCoding)),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", Err(HeadError::LengthAndCoding)),
        ("Content-Length: 5\r\nTransfer-Encoding: identity\r\n", Err(HeadError::LengthAndCoding)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(HeadError::Coding)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", Err(HeadError::Coding)),
        ("Transfer-Encoding: chunked, chunked\r\n", Err(HeadError::Coding)),
        ("Transfer-Encoding: chunked, gzip\r\n", Err(HeadError::Coding)),
        ("Transfer-Encoding: ,chunked\r\n", Err(HeadError::Coding)),
        ("Transfer-Encoding: chunked,\r\n", Err(HeadError::Coding)),
        ("Transfer-Encoding:\r\n", Err(HeadError::Coding)),
        ("Transfer-Encoding: gzip, chunked\r\n", Err(HeadError::UnknownCoding)),
        ("Transfer-Encoding: gzip, , chunked\r\n", Err(HeadError::Coding)),
        // Where chunked is not the last, nobody knows where the body ends (RFC 9112 section 6.3).
        ("Transfer-Encoding: gzip\r\n", Err(HeadError::Coding)),
        ("Transfer-Encoding: identity\r\n", Err(HeadError::Coding)),
        ("Transfer-Encoding: xchunked\r\n", Err(HeadError::Coding)),
        ("Transfer-Encoding: chunked;q=1\r\n", Err(HeadError::Coding)),
        ("Transfer-Encoding: \"chunked\"\r\n", Err(HeadError::Coding)),
    ] {
        assert_eq!(request(&with_fields(lines)).map(|(_, framing)| framing), expected, "{lines:?}");
    }
    let old = b"POST http://a/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(request(old).unwrap_err(), HeadError::CodingInHttp10);
}

#[test]
fn a_connect_and_a_trace_have_no_body() {
    for (line, expected) in [
        ("", Ok(Framing::None)),
        ("Content-Length: 0\r\n", Ok(Framing::None)),
        ("Content-Length: 1\r\n", Err(HeadError::UnexpectedBody)),
        ("Transfer-Encoding: chunked\r\n", Err(HeadError::UnexpectedBody)),
    ] {
        for start in ["CONNECT a:443", "TRACE http://a/"] {
            let text = format!("{start} HTTP/1.1\r\nHost: a:443\r\n{line}\r\n");
            assert_eq!(request(text.as_bytes()).map(|(_, framing)| framing), expected, "{start} {line:?}");
        }
    }
}

#[test]
fn each_refusal_has_its_status() {
    for (error, status) in [
        (HeadError::BareLf, 400),
        (HeadError::NoHost, 400),
        (HeadError::LengthAndCoding, 400),
        (HeadError::StartLineTooLong, 414),
        (HeadError::TooLarge, 431),
        (HeadError::TooManyFields, 431),
        (HeadError::UnknownCoding, 501),
        (HeadError::Version, 505),
    ] {
        assert_eq!(error.status(), status, "{error}");
    }
}

#[test]
fn a_head_ends_within_the_limit_or_is_refused() {
    let text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbehind";
    let length = text.len() - "behind".len();
    let limited = |max_bytes| scan(text, &mut 0, HeadLimits { max_bytes, max_fields: 1 }, Kind::Request);
    assert_eq!(limited(length), Ok(Scan::Complete(length)));
    assert_eq!(limited(length - 1), Err(HeadError::TooLarge));
    assert_eq!(limited(17), Err(HeadError::TooLarge));
    assert_eq!(limited(10), Err(HeadError::StartLineTooLong));
    // Full, and so never waited on.
    assert_eq!(scan(&[b'a'; 256], &mut 0, LIMITS, Kind::Request), Err(HeadError::StartLineTooLong));
    assert_eq!(scan(&[b'a'; 254], &mut 0, LIMITS, Kind::Request), Ok(Scan::Partial));
}

#[test]
fn bad_bytes_are_refused_before_the_head_ends() {
    for (text, error) in [
        (&b"GET\n"[..], HeadError::BareLf),
        (b"GET\rx", HeadError::BareCr),
        (b"\x16\x03\x01", HeadError::ControlByte),
        (b"\r\n\r\n", HeadError::EmptyLines),
        (b"GET / HTTP/1.1\r\n ", HeadError::Folded),
    ] {
        assert_eq!(scan(text, &mut 0, LIMITS, Kind::Request), Err(error), "{text:?}");
    }
    assert_eq!(scan(b"GET\r", &mut 0, LIMITS, Kind::Request), Ok(Scan::Partial));
}

#[test]
fn fields_are_found_whatever_their_case() {
    let mut fields = fields(&[("A", "1"), ("b", "x, Upgrade"), ("a", "2"), ("B", " websocket ,, y")]);
    assert_eq!(fields.get_all("a").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(fields.get_one("A"), Err(Duplicate));
    assert_eq!(fields.get_one("c"), Ok(None));
    assert!(fields.contains_token("B", "upgrade") && fields.contains_token("b", "WebSocket"));
    assert!(!fields.contains_token("b", "up") && !fields.contains_token("b", "") && !fields.contains_token("a", "x"));
    fields.remove("B");
    assert_eq!(fields, self::fields(&[("A", "1"), ("a", "2")]));
    fields.remove("a");
    assert!(fields.is_empty() && !fields.contains("a"));
}

#[test]
fn a_value_never_begins_another_line() {
    let head = RequestHead {
        method: Method::new("GET").unwrap(),
        target: "/".into(),
        version: Version::Http11,
        fields: fields(&[("Proxy-Authorization", "\tBasic x\r\nEvil: 1\r\n\r\nGET\0")]),
    };
    let mut written = BytesMut::new();
    head.write_to(&mut written);
    assert_eq!(&written[..], b"GET / HTTP/1.1\r\nProxy-Authorization: Basic x  Evil: 1    GET\r\n\r\n");
}

#[test]
fn what_ends_at_this_hop_is_stripped() {
    let mut head = fields(&[
        ("Host", "a"),
        ("Connection", "close, X-Private ,x-other"),
        ("connection", "Host, Content-Length, Transfer-Encoding, Via, Cache-Control, Max-Forwards, Trailer"),
        ("Proxy-Connection", "keep-alive"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
        ("Upgrade", "h2c"),
        ("Proxy-Authorization", "Basic x"),
        ("Proxy-Authenticate", "Basic"),
        ("Proxy-Authentication-Info", "x"),
        ("X-Private", "1"),
        ("X-Private", "2"),
        ("X-OTHER", "3"),
        ("X-Kept", "4"),
        ("Content-Length", "5"),
        ("Transfer-Encoding", "chunked"),
        ("Trailer", "x"),
        ("Via", "1.1 x"),
        ("Cache-Control", "no-store"),
        ("Max-Forwards", "1"),
        ("Authorization", "for the target"),
    ]);
    head.strip_hop_by_hop();
    let names: Vec<_> = head.iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "Host",
            "X-Kept",
            "Content-Length",
            "Transfer-Encoding",
            "Trailer",
            "Via",
            "Cache-Control",
            "Max-Forwards",
            "Authorization"
        ]
    );
}

#[test]
fn printing_a_head_shows_no_value() {
    let head = fields(&[("Proxy-Authorization", "hunter2")]);
    assert_eq!(format!("{head:?}"), r#"["Proxy-Authorization"]"#);
}
