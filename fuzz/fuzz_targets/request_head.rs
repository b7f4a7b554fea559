//! A request's head: found in the same place however its bytes arrive, and the same again once it was written.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use proxy::http::head::{HeadLimits, Kind, Scan, check_request, parse_request, request_framing, scan};

const LIMITS: HeadLimits = HeadLimits { max_bytes: 4096, max_fields: 32 };

fuzz_target!(|bytes: &[u8]| {
    let whole = scan(bytes, &mut 0, LIMITS, Kind::Request);
    // Byte by byte it ends where it ends at once, or fails where it fails at once.
    let mut from = 0;
    let piecemeal = (0..=bytes.len()).find_map(|end| match scan(&bytes[..end], &mut from, LIMITS, Kind::Request) {
        Ok(Scan::Partial) => None,
        other => Some(other),
    });
    match (whole, piecemeal) {
        (Ok(Scan::Partial), piecemeal) => assert_eq!(piecemeal, None),
        (whole, piecemeal) => assert_eq!(Some(whole), piecemeal),
    }
    let Ok(Scan::Complete(length)) = whole else { return };
    let Ok(head) = parse_request(&bytes[..length], LIMITS) else { return };
    assert!(head.target.bytes().all(|byte| byte.is_ascii_graphic()));
    for (name, value) in head.fields.iter() {
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'));
        assert!(!value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'));
    }
    let mut written = BytesMut::new();
    head.write_to(&mut written);
    let roomy = HeadLimits { max_bytes: 2 * LIMITS.max_bytes, ..LIMITS };
    let again = parse_request(&written, roomy).expect("what was written can be read");
    assert_eq!(again, head);
    assert_eq!(request_framing(&again), request_framing(&head));
    assert_eq!(check_request(&again), check_request(&head));
});
