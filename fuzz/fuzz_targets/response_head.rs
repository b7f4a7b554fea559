//! A response's head: the same again once it was written, and framed in one way.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use proxy::http::head::{HeadLimits, Method, parse_response, response_framing};

const LIMITS: HeadLimits = HeadLimits { max_bytes: 4096, max_fields: 32 };

fuzz_target!(|bytes: &[u8]| {
    let Ok(head) = parse_response(bytes, LIMITS) else { return };
    assert!((100..=599).contains(&head.status));
    let mut written = BytesMut::new();
    head.write_to(&mut written);
    let roomy = HeadLimits { max_bytes: 2 * LIMITS.max_bytes, ..LIMITS };
    let again = parse_response(&written, roomy).expect("what was written can be read");
    assert_eq!(again, head);
    for method in ["GET", "HEAD"] {
        let method = Method::new(method).expect("a token");
        assert_eq!(response_framing(&again, &method), response_framing(&head, &method));
    }
});
