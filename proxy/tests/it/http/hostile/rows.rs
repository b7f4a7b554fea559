//! Lists the inputs. One line is one input; its name says what it proves.

mod targets;

/// What the client must see.
#[derive(Clone, Copy)]
pub(super) enum Want {
    /// One answer with this status, then the end of the connection.
    Refused(u16),
    /// An answer with this status on a connection that goes on.
    Answered(u16),
    /// The end without a word.
    Ended,
}
use Want::{Answered, Ended, Refused};
use targets::{connect, connects, loops, ourselves, targets};

/// One input.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) want: Want,
    /// The client ends its direction behind the bytes.
    pub(super) finish: bool,
    /// The request is harmless after all, and the upstream sees it.
    pub(super) forwarded: bool,
    /// The head is good, so the upstream may see the request begin; its body is not.
    pub(super) spoils_body: bool,
}

fn row(name: &'static str, bytes: impl Into<Vec<u8>>, want: Want) -> Row {
    Row { name, bytes: bytes.into(), want, finish: false, forwarded: false, spoils_body: false }
}

/// Every row, for a proxy on this port of 127.0.0.1.
pub(super) fn rows(port: u16) -> Vec<Row> {
    let groups = [
        lengths_and_codings(),
        lines(),
        field_names(),
        hosts(),
        request_lines(),
        other_protocols(),
        targets(),
        connects(),
        ourselves(port),
        loops(),
        too_much(),
        bodies(),
        smuggling(port),
        own_pages(),
        hop_by_hop(),
    ];
    groups.into_iter().flatten().collect()
}

/// A POST with these field lines, and a second request where a careless reader would see the first one's end.
fn post(lines: &str) -> String {
    format!("POST http://sink.mock/ HTTP/1.1\r\nHost: sink.mock\r\n{lines}\r\n0\r\n\r\n{SMUGGLED}")
}

/// Must never be answered, nor reach the upstream.
const SMUGGLED: &str = "GET http://smuggled.mock/ HTTP/1.1\r\nHost: smuggled.mock\r\n\r\n";

fn lengths_and_codings() -> Vec<Row> {
    [
        ("CL before TE", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("TE before CL", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
        ("CL of 0 beside TE", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", 400),
        ("differing lengths", "Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        ("equal lengths", "Content-Length: 5\r\nContent-Length: 5\r\n", 400),
        ("lengths in names of different case", "Content-Length: 5\r\ncontent-LENGTH: 5\r\n", 400),
        ("list of equal lengths", "Content-Length: 5, 5\r\n", 400),
        ("length with plus", "Content-Length: +5\r\n", 400),
        ("length with minus", "Content-Length: -5\r\n", 400),
        ("empty length", "Content-Length:\r\n", 400),
        ("length of blanks", "Content-Length: \t \r\n", 400),
        ("length with space inside", "Content-Length: 5 5\r\n", 400),
        ("length in hex", "Content-Length: 0x5\r\n", 400),
        ("length with a point", "Content-Length: 5.0\r\n", 400),
        ("length with underscore", "Content-Length: 1_0\r\n", 400),
        ("length with parameter", "Content-Length: 5;q=1\r\n", 400),
        ("length in other digits", "Content-Length: \u{0665}\r\n", 400),
        ("length beyond 64 bits", "Content-Length: 18446744073709551616\r\n", 400),
        ("length of a hundred digits", &format!("Content-Length: {}\r\n", "9".repeat(100)), 400),
        ("coding gzip", "Transfer-Encoding: gzip\r\n", 400),
        ("coding gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n", 501),
        ("coding chunked, gzip", "Transfer-Encoding: chunked, gzip\r\n", 400),
        ("coding chunked twice", "Transfer-Encoding: chunked, chunked\r\n", 400),
        ("coding chunked in two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        ("coding chunked, identity", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 400),
        ("coding identity", "Transfer-Encoding: identity\r\n", 400),
        ("coding xchunked", "Transfer-Encoding: xchunked\r\n", 400),
        ("coding chunked with parameter", "Transfer-Encoding: chunked;q=1\r\n", 400),
        ("coding in quotes", "Transfer-Encoding: \"chunked\"\r\n", 400),
        ("empty coding", "Transfer-Encoding:\r\n", 400),
        ("empty member of codings", "Transfer-Encoding: ,chunked\r\n", 400),
        ("coding behind vertical tab", "Transfer-Encoding: \x0bchunked\r\n", 400),
        ("space before coding's colon", "Transfer-Encoding : chunked\r\n", 400),
        ("tab before coding's colon", "Transfer-Encoding\t: chunked\r\n", 400),
        ("folded coding", "Transfer-Encoding:\r\n chunked\r\n", 400),
        ("coding behind bare LF", "X: y\nTransfer-Encoding: chunked\r\n", 400),
        ("coding behind bare CR", "X: y\rTransfer-Encoding: chunked\r\n", 400),
        ("space before length's colon", "Content-Length : 5\r\n", 400),
    ]
    .map(|(name, lines, status)| row(name, post(lines), Refused(status)))
    .into_iter()
    .chain([
        row(
            "coding in HTTP/1.0",
            format!("POST http://sink.mock/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"),
            Refused(400),
        ),
        // Codings are compared without regard to case, so this one is understood, and its body ends where it says.
        Row {
            forwarded: true,
            ..row(
                "coding in capitals",
                "GET http://http.mock/ HTTP/1.1\r\nHost: http.mock\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
                Answered(200),
            )
        },
    ])
    .collect()
}

/// A GET with this behind its Host line.
fn get(lines: &str) -> Vec<u8> {
    [b"GET http://http.mock/ HTTP/1.1\r\nHost: http.mock\r\n", lines.as_bytes(), b"\r\n"].concat()
}

fn lines() -> Vec<Row> {
    vec![
        row("bare LF everywhere", "GET http://http.mock/ HTTP/1.1\nHost: http.mock\n\n", Refused(400)),
        row("bare LF behind the request line", "GET http://http.mock/ HTTP/1.1\nHost: http.mock\r\n\r\n", Refused(400)),
        row("bare LF ends the head", get("X: y\r\n\n"), Refused(400)),
        row("bare CR in a value", get("X: a\rb\r\n"), Refused(400)),
        row("bare CR ends a line", get("X: a\rY: b\r\n"), Refused(400)),
        row("two CRs", get("X: a\r\r\n"), Refused(400)),
        row("bare CR in the request line", "GET http://http.mock/\rX HTTP/1.1\r\n", Refused(400)),
        row("line folded by a space", get("X: a\r\n b\r\n"), Refused(400)),
        row("line folded by a tab", get("X: a\r\n\tb\r\n"), Refused(400)),
        row("white space before the first field", "GET http://http.mock/ HTTP/1.1\r\n Host: x\r\n\r\n", Refused(400)),
        row("NUL in a value", get("X: a\0b\r\n"), Refused(400)),
        row("NUL in a name", get("X\0Y: a\r\n"), Refused(400)),
        row("escape in a value", get("X: \x1b[2J\r\n"), Refused(400)),
        row("backspace in a value", get("X: a\x08\r\n"), Refused(400)),
        row("delete in a value", get("X: a\x7f\r\n"), Refused(400)),
        row("form feed in a value", get("X: a\x0c\r\n"), Refused(400)),
        row("two empty lines first", [b"\r\n\r\n".to_vec(), get("")].concat(), Refused(400)),
        row("space first", [b" ".to_vec(), get("")].concat(), Refused(400)),
        row("NUL first", [b"\0".to_vec(), get("")].concat(), Refused(400)),
        row("byte order mark first", [b"\xef\xbb\xbf".to_vec(), get("")].concat(), Refused(400)),
        // RFC 9112 section 2.2: one empty line before a request is to be ignored.
        Row { forwarded: true, ..row("one empty line first", [b"\r\n".to_vec(), get("")].concat(), Answered(200)) },
        Row { finish: true, ..row("a head cut in a field", "GET http://http.mock/ HTTP/1.1\r\nHo", Refused(400)) },
        Row {
            finish: true,
            ..row("a head without its last line", get("")[..get("").len() - 2].to_vec(), Refused(400))
        },
        Row { finish: true, ..row("nothing at all", "", Ended) },
    ]
}

fn field_names() -> Vec<Row> {
    [
        ("space before a colon", "X : y\r\n"),
        ("tab before a colon", "X\t: y\r\n"),
        ("empty name", ": y\r\n"),
        ("empty name and value", ":\r\n"),
        ("space in a name", "X Y: z\r\n"),
        ("bracket in a name", "X(: z\r\n"),
        ("quote in a name", "\"X\": z\r\n"),
        ("slash in a name", "X/Y: z\r\n"),
        ("at sign in a name", "X@Y: z\r\n"),
        ("name not in ASCII", "X\u{e9}: z\r\n"),
        ("line without a colon", "X\r\n"),
        ("request line among the fields", "GET http://smuggled.mock/ HTTP/1.1\r\n"),
    ]
    .map(|(name, lines)| row(name, get(lines), Refused(400)))
    .into()
}

fn hosts() -> Vec<Row> {
    [
        ("no Host", ""),
        ("two Hosts", "Host: http.mock\r\nHost: other.mock\r\n"),
        ("two equal Hosts", "Host: http.mock\r\nHost: http.mock\r\n"),
        ("empty Host", "Host:\r\n"),
        ("Host that is a list", "Host: http.mock, other.mock\r\n"),
        ("Host with user", "Host: user@http.mock\r\n"),
        ("Host with scheme", "Host: http://http.mock\r\n"),
        ("Host with path", "Host: http.mock/x\r\n"),
        ("Host with space", "Host: http.mock x\r\n"),
        ("Host with port 0", "Host: http.mock:0\r\n"),
        ("Host with port 65536", "Host: http.mock:65536\r\n"),
        ("Host with a port of letters", "Host: http.mock:http\r\n"),
        ("Host with percent-encoding", "Host: http%2emock\r\n"),
        ("Host with zone", "Host: [fe80::1%25eth0]\r\n"),
        ("Host not in ASCII", "Host: h\u{e9}.mock\r\n"),
        ("Host in an odd form of IPv4", "Host: 0x7f.1\r\n"),
    ]
    .map(|(name, lines)| row(name, format!("GET http://http.mock/ HTTP/1.1\r\n{lines}\r\n"), Refused(400)))
    .into()
}

fn request_lines() -> Vec<Row> {
    [
        ("HTTP/0.9", "GET http://http.mock/", 400),
        ("HTTP/0.9 with its number", "GET http://http.mock/ HTTP/0.9", 505),
        ("HTTP/1.2", "GET http://http.mock/ HTTP/1.2", 505),
        ("HTTP/2.0", "GET http://http.mock/ HTTP/2.0", 505),
        ("HTTP/3", "GET http://http.mock/ HTTP/3", 400),
        ("HTTP/1.10", "GET http://http.mock/ HTTP/1.10", 400),
        ("HTTP/01.1", "GET http://http.mock/ HTTP/01.1", 400),
        ("version in small letters", "GET http://http.mock/ http/1.1", 400),
        ("version of another protocol", "GET http://http.mock/ ICY/1.1", 400),
        ("space behind the version", "GET http://http.mock/ HTTP/1.1 ", 400),
        ("two spaces before the target", "GET  http://http.mock/ HTTP/1.1", 400),
        ("two spaces before the version", "GET http://http.mock/  HTTP/1.1", 400),
        ("tabs for spaces", "GET\thttp://http.mock/\tHTTP/1.1", 400),
        ("space in the target", "GET http://http.mock/a b HTTP/1.1", 400),
        ("target not in ASCII", "GET http://http.mock/\u{e9} HTTP/1.1", 400),
        ("host not in ASCII", "GET http://h\u{e9}.mock/ HTTP/1.1", 400),
        ("NUL in the target", "GET http://http.mock/\0 HTTP/1.1", 400),
        ("no target", "GET HTTP/1.1", 400),
        ("empty target", "GET  HTTP/1.1", 400),
        ("method that is no token", "GE(T http://http.mock/ HTTP/1.1", 400),
        ("method with a colon", "GET: http://http.mock/ HTTP/1.1", 400),
        ("method not in ASCII", "G\u{c9}T http://http.mock/ HTTP/1.1", 400),
        ("method alone", "GET", 400),
        ("field for a request line", "Host: http.mock", 400),
        ("status line for a request line", "HTTP/1.1 200 OK", 400),
    ]
    .map(|(name, line, status)| row(name, format!("{line}\r\nHost: http.mock\r\n\r\n"), Refused(status)))
    .into()
}

fn other_protocols() -> Vec<Row> {
    let noise: Vec<u8> = (0..512_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let hello = b"\x16\x03\x01\x00\x2e\x01\x00\x00\x2a\x03\x03\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a";
    vec![
        row("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", Refused(505)),
        row("TLS ClientHello", hello.to_vec(), Refused(400)),
        row("SOCKS5 greeting", b"\x05\x01\x00".to_vec(), Refused(400)),
        row("SOCKS4 request", b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00".to_vec(), Refused(400)),
        row("PROXY protocol 1", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n\r\n", Refused(400)),
        row("PROXY protocol 2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec(), Refused(400)),
        row("SSH greeting", "SSH-2.0-x\r\n\r\n", Refused(400)),
        row("SMTP greeting", "EHLO http.mock\r\n\r\n", Refused(400)),
        row("noise", noise, Refused(400)),
        row("zeros", vec![0; 4096], Refused(400)),
        row("ones", vec![0xff; 20_000], Refused(414)),
    ]
}

fn too_much() -> Vec<Row> {
    let long = "a".repeat(20_000);
    let many = |count: usize| (0..count).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    vec![
        row(
            "target too long",
            format!("GET http://http.mock/{long} HTTP/1.1\r\nHost: http.mock\r\n\r\n"),
            Refused(414),
        ),
        row("method too long", long.clone(), Refused(414)),
        row("host too long", format!("CONNECT {long}:80 HTTP/1.1\r\n\r\n"), Refused(414)),
        row("value too long", get(&format!("X: {long}\r\n")), Refused(431)),
        row("name too long to end", get(&long), Refused(431)),
        row("head too large", get(&format!("X: {}\r\n", "a".repeat(1000)).repeat(20)), Refused(431)),
        row("too many fields", get(&many(101)), Refused(431)),
        row("far too many short fields", get(&"a:\r\n".repeat(3_000)), Refused(431)),
    ]
}

/// A chunked POST whose body is this.
fn chunked(body: &str) -> String {
    format!("POST http://sink.mock/ HTTP/1.1\r\nHost: sink.mock\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

fn bodies() -> Vec<Row> {
    let trailers = |lines: &str| format!("1\r\na\r\n0\r\n{lines}\r\n{SMUGGLED}");
    let refused = [
        ("chunk size beyond 64 bits", "10000000000000000\r\n".to_owned(), 400),
        ("chunk size of a hundred digits", format!("{}\r\n", "0".repeat(100)), 400),
        ("negative chunk size", "-1\r\n".to_owned(), 400),
        ("signed chunk size", "+1\r\na\r\n".to_owned(), 400),
        ("chunk size with 0x", "0x1\r\na\r\n".to_owned(), 400),
        ("chunk size of letters", "xyz\r\n".to_owned(), 400),
        ("empty chunk size", "\r\n".to_owned(), 400),
        ("space before a chunk size", " 1\r\na\r\n".to_owned(), 400),
        ("space inside a chunk size", "1 1\r\na\r\n".to_owned(), 400),
        ("bare LF behind a chunk size", format!("1\na\r\n0\r\n\r\n{SMUGGLED}"), 400),
        ("bare CR behind a chunk size", "1\ra\r\n".to_owned(), 400),
        ("bare LF in a chunk extension", format!("1;x\na\r\n0\r\n\r\n{SMUGGLED}"), 400),
        ("bare LF behind chunk data", format!("1\r\na\n0\r\n\r\n{SMUGGLED}"), 400),
        ("NUL in a chunk extension", "1;\0\r\na\r\n".to_owned(), 400),
        ("chunk extension without semicolon", "1 x\r\na\r\n".to_owned(), 400),
        ("huge chunk extension", format!("1;{}\r\na\r\n", "x".repeat(20_000)), 400),
        ("chunk longer than its size", format!("1\r\nab\r\n0\r\n\r\n{SMUGGLED}"), 400),
        ("chunks that are all extension", format!("1;{}\r\na\r\n", "x".repeat(250)).repeat(200), 400),
        ("folded trailer", trailers("X: a\r\n b\r\n"), 400),
        ("trailer with bare LF", trailers("X: a\nY: b\r\n"), 400),
        ("trailer without a colon", trailers("X\r\n"), 400),
        ("trailer with space before the colon", trailers("X : y\r\n"), 400),
        ("too many trailers", trailers(&"X: y\r\n".repeat(101)), 431),
        ("trailers too large", trailers(&format!("X: {}\r\n", "a".repeat(20_000))), 431),
    ]
    .map(|(name, body, status)| Row { spoils_body: true, ..row(name, chunked(&body), Refused(status)) });
    let cut = [
        ("chunked body cut in its data", chunked("5\r\nab")),
        ("chunked body cut before its last chunk", chunked("1\r\na\r\n")),
        ("chunked body cut in its trailers", chunked("0\r\nX: y\r\n")),
        (
            "body shorter than its length",
            "POST http://sink.mock/ HTTP/1.1\r\nHost: sink.mock\r\nContent-Length: 5\r\n\r\nab".to_owned(),
        ),
    ]
    .map(|(name, bytes)| Row { spoils_body: true, finish: true, ..row(name, bytes, Refused(400)) });
    refused.into_iter().chain(cut).collect()
}

fn smuggling(port: u16) -> Vec<Row> {
    let ourselves = format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    let stats = format!("GET /stats HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    vec![
        row("statistics asked for behind a refused CONNECT", format!("{ourselves}{stats}"), Refused(403)),
        row(
            "a second CONNECT behind a refused one",
            format!("{ourselves}{}", connect("http.mock:80", "")),
            Refused(403),
        ),
        row("TLS behind a refused CONNECT", [ourselves.as_bytes(), b"\x16\x03\x01\x02\x00"].concat(), Refused(403)),
        row("much behind a refused CONNECT", format!("{ourselves}{}", SMUGGLED.repeat(1000)), Refused(403)),
        row(
            "statistics asked for behind a bad request",
            format!("GET http://user@http.mock/ HTTP/1.1\r\nHost: http.mock\r\n\r\n{stats}"),
            Refused(400),
        ),
        row(
            "a request as the body of one of our pages",
            format!("GET /stats HTTP/1.1\r\nHost: evil.mock\r\nContent-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()),
            Refused(403),
        ),
    ]
}

fn own_pages() -> Vec<Row> {
    vec![
        row("origin-form of an unknown page", "GET /x HTTP/1.1\r\nHost: http.mock\r\n\r\n", Answered(404)),
        row("origin-form with two slashes", "GET //http.mock/ HTTP/1.1\r\nHost: http.mock\r\n\r\n", Answered(404)),
        row("absolute-form behind a slash", "GET /http://http.mock/ HTTP/1.1\r\nHost: a.test\r\n\r\n", Answered(404)),
        row("dots to the statistics", "GET /x/../stats HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(404)),
        row("statistics by another method", "DELETE /stats HTTP/1.1\r\nHost: localhost\r\n\r\n", Answered(405)),
        row("statistics under a foreign name", "GET /stats HTTP/1.1\r\nHost: evil.test\r\n\r\n", Answered(403)),
        row(
            "statistics under a name like ours",
            "GET /stats HTTP/1.1\r\nHost: localhost.evil.test\r\n\r\n",
            Answered(403),
        ),
        row("origin-form with a fragment", "GET /stats#x HTTP/1.1\r\nHost: localhost\r\n\r\n", Refused(400)),
    ]
}

fn hop_by_hop() -> Vec<Row> {
    [
        ("Proxy-Connection that lists fields", "Proxy-Connection: keep-alive, Host, Via\r\n"),
        ("Connection that takes Host and Via", "Connection: Host, Via, keep-alive\r\n"),
        ("Connection of empty members", "Connection: ,,, ,\r\n"),
        ("Connection that is no list of tokens", "Connection: \"a, b\", @\r\n"),
        ("an upgrade to HTTP/2", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
        ("CRLF by percent-encoding in a value", "X: a%0d%0aHost: evil.mock\r\n"),
        ("credentials nobody asked for", "Proxy-Authorization: Basic !!!\r\n"),
        ("an expectation without a body", "Expect: 100-continue\r\n"),
        ("a Host that is not the target's", "X-Host: evil.mock\r\n"),
        ("the Via of another", "Via: 1.1 ringo, 1.1 (ring)\r\n"),
    ]
    .map(|(name, lines)| Row { forwarded: true, ..row(name, get(lines), Answered(200)) })
    .into()
}
