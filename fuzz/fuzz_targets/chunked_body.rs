//! A chunked body: what goes out does not depend on how it came in, and reads as the same body once more.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use proxy::http::body::{BodyCodec, BodyError, BodyRules, Progress};
use proxy::http::head::{Fields, Framing, HeadLimits, Kind};

const LIMITS: HeadLimits = HeadLimits { max_bytes: 4096, max_fields: 32 };

/// What came out, how it ended, and what was left of the input.
type Passed = (BytesMut, Result<Progress, BodyError>, usize);

fn pass(kind: Kind, bytes: &[u8], piece: usize) -> Passed {
    let mut codec = BodyCodec::new(Framing::Chunked, BodyRules::new(kind, &Fields::new(), LIMITS));
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    let mut taken = 0;
    for piece in bytes.chunks(piece) {
        input.extend_from_slice(piece);
        taken += piece.len();
        match codec.step(&mut input, &mut output) {
            Ok(Progress::NeedMore) => assert!(input.is_empty(), "a body that needs more has used up its input"),
            ended => return (output, ended, bytes.len() - taken + input.len()),
        }
    }
    (output, Ok(Progress::NeedMore), 0)
}

fuzz_target!(|input: (bool, &[u8])| {
    let (strict, bytes) = input;
    let kind = if strict { Kind::Request } else { Kind::Response };
    let (output, ended, left) = pass(kind, bytes, bytes.len().max(1));
    let (slowly, slowly_ended, slowly_left) = pass(kind, bytes, 1);
    assert_eq!(ended, slowly_ended);
    assert!(output.len() <= bytes.len() + 64 * (1 + bytes.len() / 3), "a body grows by its sizes at most");
    if ended == Ok(Progress::Done) {
        assert_eq!((&output, left), (&slowly, slowly_left));
        // Whatever was lenient in reading it, a strict reader reads the same.
        let (again, ended, left) = pass(Kind::Request, &output, output.len().max(1));
        assert_eq!((again, ended, left), (output, Ok(Progress::Done), 0));
    }
});
