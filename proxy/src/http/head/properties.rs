//! Shows the laws of reading heads as property tests.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits { max_bytes: 256, max_fields: 8 };

/// Bytes that are interesting in heads, in random order.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        Just(&b"\r\n"[..]),
        Just(&b"\r\n\r\n"[..]),
        Just(&b"\r"[..]),
        Just(&b"\n"[..]),
        Just(&b" "[..]),
        Just(&b":"[..]),
        Just(&b"GET / HTTP/1.1\r\n"[..]),
        Just(&b"HTTP/1.1 200 OK\r\n"[..]),
        Just(&b"Host: a\r\n"[..]),
        Just(&b"Content-Length: 1\r\n"[..]),
        Just(&b"x"[..]),
        Just(&b"\0"[..]),
        Just(&b"\xff"[..]),
    ];
    prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
}

fn any_fields() -> impl Strategy<Value = Fields> {
    let value = prop::collection::vec(prop_oneof![0x20u8..0x7f, 0x80u8..=0xff, Just(b'\t')], 0..12);
    prop::collection::vec(("[A-Za-z0-9!#$%&'*+.^_`|~-]{1,8}", value), 0..8).prop_map(|lines| {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.push(&name, value);
        }
        fields
    })
}

proptest! {
    #[test]
    fn anything_at_all_is_read_without_a_panic(text in prop_oneof![soup(), prop::collection::vec(any::<u8>(), 0..300)]) {
        if let Ok(head) = parse_request(&text, LIMITS) {
            let _ = (check_request(&head), request_framing(&head));
        }
        if let Ok(mut head) = parse_response(&text, LIMITS) {
            let _ = response_framing(&mut head, &Method::new("GET").unwrap());
        }
    }

    #[test]
    fn an_accepted_request_holds_no_bare_line_end(text in soup()) {
        if parse_request(&text, LIMITS).is_ok() {
            let clean = text.windows(2).filter(|pair| pair == b"\r\n").count();
            prop_assert_eq!(text.iter().filter(|&&b| b == b'\r').count(), clean);
            prop_assert_eq!(text.iter().filter(|&&b| b == b'\n').count(), clean);
            prop_assert!(!text.contains(&0));
        }
    }

    #[test]
    fn a_head_scans_alike_in_pieces(text in soup(), cuts in prop::collection::vec(0usize..64, 0..6), max_bytes in 0usize..80) {
        let limits = HeadLimits { max_bytes, max_fields: 8 };
        let whole = scan(&text, &mut 0, limits, Kind::Request);
        let mut ends: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([text.len()]).collect();
        ends.sort_unstable();
        let mut from = 0;
        let mut last = Ok(Scan::Partial);
        for end in ends {
            last = scan(&text[..end], &mut from, limits, Kind::Request);
            if last != Ok(Scan::Partial) {
                break;
            }
        }
        prop_assert_eq!(last, whole);
    }

    #[test]
    fn a_written_request_reads_back_equal(
        method in "[A-Z!#$%]{1,8}", target in "[!-~]{1,20}", old in any::<bool>(), fields in any_fields(),
    ) {
        let version = if old { Version::Http10 } else { Version::Http11 };
        let head = RequestHead { method: Method::new(&method).unwrap(), target, version, fields };
        let limits = HeadLimits { max_bytes: 4096, max_fields: 8 };
        let mut written = BytesMut::new();
        head.write_to(&mut written);
        prop_assert_eq!(parse_request(&written, limits).unwrap(), head);
    }

    #[test]
    fn a_written_response_reads_back_equal(
        status in 100u16..=999, reason in "[\t !-~\u{80}-\u{ff}]{0,12}", old in any::<bool>(), fields in any_fields(),
    ) {
        let version = if old { Version::Http10 } else { Version::Http11 };
        let head = ResponseHead { version, status, reason: reason.into(), fields, disputed_framing: false };
        let mut out = BytesMut::new();
        head.write_to(&mut out);
        let limits = HeadLimits { max_bytes: 4096, max_fields: 8 };
        prop_assert_eq!(parse_response(&out, limits).unwrap(), head);
    }
}
