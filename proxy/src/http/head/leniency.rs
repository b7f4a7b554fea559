//! Shows which responses are accepted although they break the rules (ARCHITECTURE.md, "Lenient and strict").

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits { max_bytes: 512, max_fields: 8 };

/// Reads a response to `method` as an upstream's is read, and shows how its body ends and the head as it is passed on.
fn read(text: &[u8], method: &str) -> Result<(Framing, String), HeadError> {
    let mut head = parse_response(text, LIMITS)?;
    let framing = response_framing(&mut head, &Method::new(method).unwrap())?;
    let mut out = BytesMut::new();
    head.write_to(&mut out);
    Ok((framing, String::from_utf8(out.to_vec()).unwrap()))
}

/// The lines between the status line and the empty one.
fn lines_of(text: &[u8]) -> Result<String, HeadError> {
    let (_, head) = read(text, "HEAD")?;
    Ok(head.strip_prefix("HTTP/1.1 200 OK\r\n").unwrap().strip_suffix("\r\n").unwrap().to_owned())
}

#[test]
fn a_response_is_mended_where_it_has_one_reading() {
    for (lines, mended) in [
        ("A : b\r\n", "A: b\r\n"),
        ("A \t : b\r\nC: d\r\n", "A: b\r\nC: d\r\n"),
        ("A: b \r\n \t c\r\n\td\r\nE: f\r\n", "A: b c d\r\nE: f\r\n"),
        ("A:\r\n b\r\n", "A: b\r\n"),
        ("A: b\x01\x1b[2Jc\x7f\r\n", "A: b  [2Jc\r\n"),
        ("A(b): c\r\n d\r\nE: f\r\n", "E: f\r\n"),
    ] {
        let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        // Whoever wrote it is not asked again on the same connection.
        assert_eq!(lines_of(text.as_bytes()), Ok(format!("{mended}Connection: close\r\n")), "{lines:?}");
    }
    let good = b"HTTP/1.1 200 OK\r\nA: b\tc\r\n\r\n";
    assert_eq!(lines_of(good).unwrap(), "A: b\tc\r\n", "what is well is left as it is");
}

#[test]
fn a_response_may_end_all_its_lines_in_lf_alone_but_not_some() {
    assert_eq!(lines_of(b"HTTP/1.1 200 OK\nA: b\nC : d\n\n").unwrap(), "A: b\r\nC: d\r\nConnection: close\r\n");
    for (text, error) in [
        (&b"HTTP/1.1 200 OK\nA: b\r\n\n"[..], HeadError::BareCr),
        (b"HTTP/1.1 200 OK\nA: b\n\r\n", HeadError::BareCr),
        (b"HTTP/1.1 200 OK\r\nA: b\nSet-Cookie: c\r\n\r\n", HeadError::BareLf),
        (b"HTTP/1.1 200 OK\r\nA: b\n\nHTTP/1.1 200 OK\r\n\r\n", HeadError::BareLf),
        (b"\r\nHTTP/1.1 200 OK\n\n", HeadError::BareLf),
        (b"\nHTTP/1.1 200 OK\n\n", HeadError::BareLf),
    ] {
        assert_eq!(read(text, "GET").unwrap_err(), error, "{:?}", String::from_utf8_lossy(text));
    }
    // Where it ends is where its first empty line is, whatever comes behind.
    let text = b"HTTP/1.1 200 OK\nA: b\n\nbody\r\n\r\n";
    assert_eq!(scan(text, &mut 0, LIMITS, Kind::Response), Ok(Scan::Complete(22)));
    assert_eq!(scan(text, &mut 0, LIMITS, Kind::Request), Err(HeadError::BareLf));
}

#[test]
fn what_is_folded_must_have_begun() {
    for text in ["HTTP/1.1 200 OK\r\n A: b\r\n\r\n", " HTTP/1.1 200 OK\r\n\r\n", "\r\nHTTP/1.1 200 OK\r\n A: b\r\n\r\n"]
    {
        assert_eq!(read(text.as_bytes(), "GET").unwrap_err(), HeadError::Folded, "{text:?}");
    }
}

#[test]
fn a_coding_that_some_readers_miss_does_not_beat_a_length() {
    for lines in [
        "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n",
        "Content-Length : 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n 6\r\n",
    ] {
        let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        assert_eq!(read(text.as_bytes(), "GET").unwrap_err(), HeadError::LengthAndCoding, "{lines:?}");
        // Where there is no body, there is one reading only: what the fields say of one is left out.
        for (method, line) in [
            ("HEAD", "HTTP/1.1 200 OK"),
            ("GET", "HTTP/1.1 204 None"),
            ("GET", "HTTP/1.1 304 Same"),
            ("GET", "HTTP/1.1 103 Hints"),
        ] {
            let (framing, head) = read(format!("{line}\r\n{lines}A: b\r\n\r\n").as_bytes(), method).unwrap();
            assert_eq!(framing, Framing::None, "{method} {line} {lines:?}");
            let kept = head.strip_prefix(line).unwrap().replace("Connection: close\r\n", "");
            assert_eq!(kept, "\r\nA: b\r\n\r\n", "{method} {line} {lines:?}");
        }
    }
    for (lines, framing) in [
        ("Transfer-Encoding : chunked\r\n", Framing::Chunked),
        ("Transfer-Encoding: chunked\r\nX : y\r\nContent-Length: 5\r\n", Framing::Chunked),
        ("Content-Length : 5\r\nContent-Length: 5\r\n", Framing::Length(5)),
    ] {
        let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        assert_eq!(read(text.as_bytes(), "GET").map(|(framing, _)| framing), Ok(framing), "{lines:?}");
    }
}

/// What a response says of its body, where that ends, and what is left of that.
#[test]
fn a_response_body_is_framed_in_one_way() {
    use Framing::{Chunked, Length, UntilClose};
    const LENGTH: &str = "Content-Length: 5\r\n";
    const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
    const CLOSE: &str = "Connection: close\r\n";
    let closing = |lines: &str| format!("{lines}{CLOSE}");
    let as_is = |lines: &str| lines.to_owned();
    for (method, line, lines, expected) in [
        ("GET", "HTTP/1.1 200", as_is(""), Ok((UntilClose, as_is("")))),
        ("GET", "HTTP/1.0 200", as_is(""), Ok((UntilClose, as_is("")))),
        ("GET", "HTTP/1.1 200", as_is(LENGTH), Ok((Length(5), as_is(LENGTH)))),
        ("GET", "HTTP/1.1 200", as_is("Content-Length: 005\r\n"), Ok((Length(5), as_is("Content-Length: 005\r\n")))),
        ("GET", "HTTP/1.1 200", as_is(CHUNKED), Ok((Chunked, as_is(CHUNKED)))),
        // Said more than once, but alike.
        ("GET", "HTTP/1.1 200", LENGTH.repeat(2), Ok((Length(5), closing(LENGTH)))),
        ("GET", "HTTP/1.1 200", as_is("Content-Length: 5, 5\r\n"), Ok((Length(5), closing(LENGTH)))),
        ("GET", "HTTP/1.1 200", CHUNKED.repeat(2), Ok((Chunked, closing(CHUNKED)))),
        ("GET", "HTTP/1.1 200", as_is("Transfer-Encoding: ,chunked, Chunked,\r\n"), Ok((Chunked, closing(CHUNKED)))),
        // RFC 9112 section 6.3: chunked beats a length.
        ("GET", "HTTP/1.1 200", [LENGTH, CHUNKED].concat(), Ok((Chunked, closing(CHUNKED)))),
        ("GET", "HTTP/1.1 200", as_is("Transfer-Encoding: identity\r\n"), Ok((UntilClose, closing("")))),
        // Two readings.
        ("GET", "HTTP/1.0 200", as_is(CHUNKED), Err(HeadError::CodingInHttp10)),
        ("GET", "HTTP/1.1 200", as_is("Content-Length: 5\r\nContent-Length: 6\r\n"), Err(HeadError::ManyLengths)),
        ("GET", "HTTP/1.1 200", as_is("Content-Length: 5, 6\r\n"), Err(HeadError::ManyLengths)),
        ("GET", "HTTP/1.1 200", as_is("Content-Length: 5,\r\n"), Err(HeadError::Length)),
        ("GET", "HTTP/1.1 200", as_is("Content-Length: +5\r\n"), Err(HeadError::Length)),
        ("GET", "HTTP/1.1 200", as_is("Content-Length:\r\n"), Err(HeadError::Length)),
        (
            "GET",
            "HTTP/1.1 200",
            as_is("Transfer-Encoding: identity\r\nContent-Length: 5\r\n"),
            Err(HeadError::LengthAndCoding),
        ),
        ("GET", "HTTP/1.1 200", as_is("Transfer-Encoding: chunked, gzip\r\n"), Err(HeadError::Coding)),
        ("GET", "HTTP/1.1 200", as_is("Transfer-Encoding:\r\n"), Err(HeadError::Coding)),
        // One reading, but nobody asked for it, so that the client need not know it.
        ("GET", "HTTP/1.1 200", as_is("Transfer-Encoding: gzip\r\n"), Err(HeadError::UnknownCoding)),
        ("GET", "HTTP/1.1 200", as_is("Transfer-Encoding: gzip, chunked\r\n"), Err(HeadError::Coding)),
        // They end with their head, and may say what a GET would have brought.
        ("HEAD", "HTTP/1.1 200", as_is(LENGTH), Ok((Framing::None, as_is(LENGTH)))),
        ("HEAD", "HTTP/1.1 200", as_is(CHUNKED), Ok((Framing::None, as_is(CHUNKED)))),
        ("HEAD", "HTTP/1.1 200", as_is(""), Ok((Framing::None, as_is("")))),
        ("HEAD", "HTTP/1.1 200", as_is("Content-Length: x\r\n"), Ok((Framing::None, closing("")))),
        ("HEAD", "HTTP/1.1 200", [CHUNKED, LENGTH].concat(), Ok((Framing::None, closing(CHUNKED)))),
        ("head", "HTTP/1.1 200", as_is(LENGTH), Ok((Length(5), as_is(LENGTH)))),
        ("GET", "HTTP/1.1 304", as_is(LENGTH), Ok((Framing::None, as_is(LENGTH)))),
        ("GET", "HTTP/1.1 304", as_is("Content-Length: 5\r\nContent-Length: 6\r\n"), Ok((Framing::None, closing("")))),
        ("GET", "HTTP/1.0 304", as_is(CHUNKED), Ok((Framing::None, closing("")))),
        // They end with their head, and may say nothing of a body.
        ("GET", "HTTP/1.1 204", as_is(""), Ok((Framing::None, as_is("")))),
        ("GET", "HTTP/1.1 204", as_is("Content-Length: 0\r\n"), Ok((Framing::None, as_is("")))),
        ("GET", "HTTP/1.1 204", as_is("Content-Length: 0, 0\r\n"), Ok((Framing::None, closing("")))),
        ("GET", "HTTP/1.1 204", as_is(LENGTH), Ok((Framing::None, closing("")))),
        ("GET", "HTTP/1.1 204", as_is(CHUNKED), Ok((Framing::None, closing("")))),
        ("GET", "HTTP/1.1 101", as_is(""), Ok((Framing::None, as_is("")))),
        ("GET", "HTTP/1.1 103", as_is(LENGTH), Ok((Framing::None, closing("")))),
        ("HEAD", "HTTP/1.1 100", as_is(CHUNKED), Ok((Framing::None, closing("")))),
    ] {
        let read = read(format!("{line}\r\n{lines}\r\n").as_bytes(), method);
        let left = expected.map(|(framing, left)| (framing, format!("HTTP/1.1 {} \r\n{left}\r\n", &line[9..])));
        let read = read.map(|(framing, head)| (framing, head.replace("HTTP/1.0", "HTTP/1.1")));
        assert_eq!(read, left, "{method} {line} {lines:?}");
    }
}

/// Pieces of responses by all sorts of writers, in random order.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec![
        &b"HTTP/1.1 200 OK\r\n"[..],
        b"HTTP/1.1 204\n",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b"A: b\r\n",
        b"A : b\r\n",
        b" folded\r\n",
        b"X(y): z\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length : 5\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding:\r\n chunked\r\n",
        b"Connection: x\n",
        b"\x01",
        b"\0",
        b"\xe9",
    ];
    let start = prop::sample::select(vec![&b"HTTP/1.1 200 OK\r\n"[..], b"HTTP/1.1 304 x\n", b"HTTP/1.0 600\r\n", b""]);
    (start, prop::collection::vec(prop::sample::select(pieces), 0..12), any::<bool>()).prop_map(
        |(start, pieces, ends)| {
            let end = if ends { &b"\r\n"[..] } else { b"\n\n" };
            [start, &pieces.concat(), end].concat()
        },
    )
}

/// The fields as `httparse` reads them on its own, which is strict about all but the ends of lines.
fn second_opinion(head: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut slots = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut slots);
    assert_eq!(response.parse(head), Ok(httparse::Status::Complete(head.len())));
    response.headers.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect()
}

proptest! {
    #[test]
    fn what_was_mended_is_read_alike_by_a_strict_reader(text in soup(), method in "GET|HEAD") {
        let method = Method::new(&method).unwrap();
        let Ok(mut head) = parse_response(&text, LIMITS) else { return Ok(()) };
        let Ok(framing) = response_framing(&mut head, &method) else { return Ok(()) };
        let mut written = BytesMut::new();
        head.write_to(&mut written);
        let ends = written.windows(2).filter(|pair| pair == b"\r\n").count();
        for end in [b'\r', b'\n'] {
            prop_assert_eq!(written.iter().filter(|&&byte| byte == end).count(), ends);
        }
        prop_assert!(!written.iter().any(|byte| byte.is_ascii_control() && !b"\r\n\t".contains(byte)));
        let ours: Vec<_> = head.fields.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        prop_assert_eq!(second_opinion(&written), ours);
        let roomy = HeadLimits { max_bytes: 4096, max_fields: 16 };
        let mut again = parse_response(&written, roomy).unwrap();
        prop_assert_eq!(&again, &head);
        prop_assert_eq!(response_framing(&mut again, &method), Ok(framing));
        prop_assert_eq!(again, head, "nothing is left to be put right");
    }

    #[test]
    fn a_response_scans_alike_in_pieces(text in soup(), cuts in prop::collection::vec(0usize..200, 0..6), max_bytes in 0usize..120) {
        let limits = HeadLimits { max_bytes, max_fields: 8 };
        let whole = scan(&text, &mut 0, limits, Kind::Response);
        let mut ends: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([text.len()]).collect();
        ends.sort_unstable();
        let mut from = 0;
        let scans = ends.into_iter().map(|end| scan(&text[..end], &mut from, limits, Kind::Response));
        prop_assert_eq!(scans.into_iter().find(|scanned| *scanned != Ok(Scan::Partial)).unwrap_or(Ok(Scan::Partial)), whole);
    }
}
