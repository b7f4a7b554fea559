//! A response's head: the same again once it was written, with nothing left to mend, and framed in one way.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use proxy::http::head::{HeadLimits, Kind, Method, Scan, parse_response, response_framing, scan};

const LIMITS: HeadLimits = HeadLimits { max_bytes: 4096, max_fields: 32 };

fuzz_target!(|bytes: &[u8]| {
    let Ok(head) = parse_response(bytes, LIMITS) else { return };
    assert_eq!(scan(bytes, &mut 0, LIMITS, Kind::Response), Ok(Scan::Complete(bytes.len())));
    assert!((100..=999).contains(&head.status));
    for method in ["GET", "HEAD"] {
        let (mut head, method) = (head.clone(), Method::new(method).expect("a token"));
        let Ok(framing) = response_framing(&mut head, &method) else { continue };
        let mut written = BytesMut::new();
        head.write_to(&mut written);
        assert!(!written.iter().any(|byte| byte.is_ascii_control() && !b"\r\n\t".contains(byte)));
        // Mending and putting right add a line each.
        let roomy = HeadLimits { max_bytes: 2 * LIMITS.max_bytes, max_fields: LIMITS.max_fields + 2 };
        let mut again = parse_response(&written, roomy).expect("what was written can be read");
        assert_eq!(again, head);
        assert_eq!(response_framing(&mut again, &method), Ok(framing));
        assert_eq!(again, head);
    }
});
