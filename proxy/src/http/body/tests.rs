//! Tests that bodies pass whole and clean, however they are cut, and that malformed ones do not.

use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits { max_bytes: 200, max_fields: 4 };

/// Feeds `pieces` one after the other; the output, and what was left behind the body once it was done.
fn run<'a>(
    mut codec: BodyCodec,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(Vec<u8>, Option<Vec<u8>>), BodyError> {
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    let mut last = Progress::NeedMore;
    for piece in pieces {
        input.extend_from_slice(piece);
        last = codec.step(&mut input, &mut output)?;
        assert_eq!(last == Progress::Done, codec.is_done());
        assert!(last == Progress::Done || input.is_empty(), "input left although more is needed");
    }
    assert_eq!(codec.finish_on_eof().is_ok(), codec.is_done() || matches!(codec, BodyCodec::UntilClose));
    Ok((output.to_vec(), (last == Progress::Done).then(|| input.to_vec())))
}

/// Strict ones.
fn rules() -> BodyRules {
    BodyRules::new(Kind::Request, &Fields::new(), LIMITS)
}

fn chunked(text: &[u8]) -> Result<(Vec<u8>, Option<Vec<u8>>), BodyError> {
    run(BodyCodec::new(Framing::Chunked, rules()), [text])
}

#[test]
fn a_chunked_body_is_written_anew() {
    for (text, clean) in [
        ("0\r\n\r\n", "0\r\n\r\n"),
        ("5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ("0000000000000005\r\nhello\r\n000\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ("A;x\r\n0123\r\n6789\r\n0;y=\"z;\"\r\n\r\n", "a\r\n0123\r\n6789\r\n0\r\n\r\n"),
        ("1 \t; a = b\r\nx\r\n0\r\n\r\n", "1\r\nx\r\n0\r\n\r\n"),
        ("0\r\nChecksum:  x \r\nHost: evil\r\n\r\n", "0\r\nChecksum: x\r\n\r\n"),
    ] {
        let (output, rest) = chunked(format!("{text}GET /").as_bytes()).unwrap();
        assert_eq!(String::from_utf8(output).unwrap(), clean, "{text:?}");
        assert_eq!(rest.unwrap(), b"GET /", "{text:?}");
    }
}

#[test]
fn hostile_chunks_are_refused() {
    use BodyError::*;
    let long_extension = format!("1;{}\r\nx\r\n", "e".repeat(300));
    let endless_extension = format!("1;{}", "e".repeat(300));
    let large_trailers = format!("0\r\nA: {}", "a".repeat(300));
    for (text, error) in [
        ("\r\n", ChunkSize),
        (" 5\r\nhello\r\n", ChunkSize),
        ("g\r\n", ChunkSize),
        ("-1\r\n", ChunkSize),
        ("+5\r\nhello\r\n", ChunkSize),
        ("0x5\r\nhello\r\n", ChunkExtension),
        (";x\r\n", ChunkSize),
        ("10000000000000000\r\n", ChunkSize),
        ("00000000000000005\r\nhello\r\n", ChunkSize),
        ("11111111111111111111111111111111", ChunkSize),
        ("5 \r\nhello\r\n", ChunkExtension),
        ("5 x\r\nhello\r\n", ChunkExtension),
        ("5,5\r\nhello\r\n", ChunkExtension),
        (&long_extension, ChunkExtension),
        (&endless_extension, ChunkExtension),
        ("5\nhello\r\n", ChunkLine(HeadError::BareLf)),
        ("5\rhello\r\n", ChunkLine(HeadError::BareCr)),
        ("5\r\r\nhello\r\n", ChunkLine(HeadError::BareCr)),
        ("5;a\nb\r\nhello\r\n", ChunkLine(HeadError::BareLf)),
        ("5;\"\r\"\r\nhello\r\n", ChunkLine(HeadError::BareCr)),
        ("5;\0\r\nhello\r\n", ChunkLine(HeadError::ControlByte)),
        ("5\r\nhello!\r\n", ChunkEnd),
        ("5\r\nhello\n0\r\n\r\n", ChunkEnd),
        ("5\r\nhello\r0\r\n\r\n", ChunkEnd),
        ("5\r\nhello0\r\n\r\n", ChunkEnd),
        ("0\r\nA: b\n\r\n", Trailers(HeadError::BareLf)),
        ("0\r\n\n", Trailers(HeadError::BareLf)),
        ("0\r\nA: b\r\n c\r\n\r\n", Trailers(HeadError::Folded)),
        ("0\r\nA : b\r\n\r\n", Trailers(HeadError::Field)),
        ("0\r\nGET / HTTP/1.1\r\n\r\n", Trailers(HeadError::Field)),
        ("0\r\nA: \0\r\n\r\n", Trailers(HeadError::ControlByte)),
        ("0\r\nA:1\r\nB:2\r\nC:3\r\nD:4\r\nE:5\r\n\r\n", Trailers(HeadError::TooManyFields)),
        (&large_trailers, Trailers(HeadError::StartLineTooLong)),
    ] {
        assert_eq!(chunked(text.as_bytes()).unwrap_err(), error, "{text:?}");
        let bytewise = run(BodyCodec::new(Framing::Chunked, rules()), text.as_bytes().chunks(1));
        assert_eq!(bytewise.unwrap_err().status(), error.status(), "byte by byte: {text:?}");
    }
}

#[test]
fn trailers_that_belong_into_a_head_are_dropped() {
    for name in FORBIDDEN_TRAILERS.into_iter().chain(["If-Match", "IF-None-Match", "Transfer-Encoding", "Set-Cookie"]) {
        let (output, _) = chunked(format!("0\r\n{name}: x\r\nGrpc-Status: 0\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(output, b"0\r\nGrpc-Status: 0\r\n\r\n", "{name}");
    }
}

#[test]
fn a_body_of_little_but_extensions_is_refused() {
    let chunk = format!("1;{}\r\nx\r\n", "e".repeat(200));
    assert_eq!(chunked(chunk.repeat(200).as_bytes()).unwrap_err(), BodyError::ChunkOverhead);
    let honest = format!("400;signature={}\r\n{}\r\n", "e".repeat(64), "x".repeat(0x400));
    assert!(chunked(honest.repeat(1000).as_bytes()).is_ok());
    assert!(chunked("1\r\nx\r\n".repeat(10_000).as_bytes()).is_ok());
}

#[test]
fn white_space_behind_a_size_is_taken_in_responses_alone() {
    let response = || BodyRules { kind: Kind::Response, ..rules() };
    for text in [&b"3 \r\nabc\r\n0 \t\r\n\r\n"[..], b"3\t;x\r\nabc\r\n0     \r\n\r\n"] {
        let (output, rest) = run(BodyCodec::new(Framing::Chunked, response()), [text]).unwrap();
        assert_eq!((&output[..], rest.as_deref()), (&b"3\r\nabc\r\n0\r\n\r\n"[..], Some(&b""[..])));
        assert_eq!(chunked(text).unwrap_err(), BodyError::ChunkExtension);
    }
    for text in [&b"3 x\r\nabc\r\n"[..], b" 3\r\nabc\r\n", b"3\nabc\r\n", b"3 \nabc\r\n"] {
        assert!(run(BodyCodec::new(Framing::Chunked, response()), [text]).is_err(), "{text:?}");
    }
}

#[test]
fn trailers_of_a_response_are_mended_as_its_fields_are() {
    let text = b"0\r\nA : b\r\n c\r\nD: e\r\n f\r\n\r\nnext";
    let codec = BodyCodec::new(Framing::Chunked, BodyRules { kind: Kind::Response, ..rules() });
    let (output, rest) = run(codec, [&text[..]]).unwrap();
    assert_eq!((&output[..], rest.as_deref()), (&b"0\r\nA: b c\r\nD: e f\r\n\r\n"[..], Some(&b"next"[..])));
    assert!(chunked(text).is_err());
}

#[test]
fn trailers_named_by_connection_end_here() {
    let mut fields = Fields::new();
    fields.push("Connection", "close, X-Hop, Via");
    let text = b"0\r\nx-hop: 1\r\nX-Sum: 2\r\n\r\n";
    for kind in [Kind::Request, Kind::Response] {
        let codec = BodyCodec::new(Framing::Chunked, BodyRules::new(kind, &fields, LIMITS));
        assert_eq!(run(codec, [&text[..]]).unwrap().0, b"0\r\nX-Sum: 2\r\n\r\n");
    }
}

#[test]
fn a_huge_chunk_passes_in_pieces() {
    let mut codec = BodyCodec::new(Framing::Chunked, rules());
    let (mut input, mut output) = (BytesMut::from(&b"ffffffffffffffff\r\nab"[..]), BytesMut::new());
    assert_eq!(codec.step(&mut input, &mut output), Ok(Progress::NeedMore));
    assert_eq!(&output[..], b"ffffffffffffffff\r\nab");
    assert_eq!(codec.finish_on_eof(), Err(Truncated));
}

#[test]
fn an_http10_client_gets_the_data_alone() {
    let codec = BodyCodec::unchunking(Framing::Chunked, rules());
    let (output, rest) = run(codec, [&b"3;x\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\nnext"[..]]).unwrap();
    assert_eq!((&output[..], &rest.unwrap()[..]), (&b"abcde"[..], &b"next"[..]));
}

#[test]
fn a_body_of_known_length_ends_there() {
    let (output, rest) = run(BodyCodec::new(Framing::Length(5), rules()), [&b"hel"[..], b"lo!!"]).unwrap();
    assert_eq!((&output[..], rest.as_deref()), (&b"hello"[..], Some(&b"!!"[..])));
    let (output, rest) = run(BodyCodec::new(Framing::Length(u64::MAX), rules()), [&b"hello"[..]]).unwrap();
    assert_eq!((&output[..], rest), (&b"hello"[..], None));
    for framing in [Framing::None, Framing::Length(0)] {
        assert!(BodyCodec::new(framing, rules()).is_done());
        let (output, rest) = run(BodyCodec::new(framing, rules()), [&b"x"[..]]).unwrap();
        assert_eq!((&output[..], rest.as_deref()), (&b""[..], Some(&b"x"[..])));
    }
}

#[test]
fn only_a_body_until_close_may_end_with_the_stream() {
    let (output, rest) = run(BodyCodec::new(Framing::UntilClose, rules()), [&b"a"[..], b"b"]).unwrap();
    assert_eq!((&output[..], rest), (&b"ab"[..], None));
    assert_eq!(BodyCodec::new(Framing::UntilClose, rules()).finish_on_eof(), Ok(()));
    assert_eq!(BodyCodec::new(Framing::None, rules()).finish_on_eof(), Ok(()));
    assert_eq!(BodyCodec::new(Framing::Length(1), rules()).finish_on_eof(), Err(Truncated));
    assert_eq!(BodyCodec::new(Framing::Chunked, rules()).finish_on_eof(), Err(Truncated));
}

#[test]
fn a_cut_chunked_body_is_truncated_wherever_it_is_cut() {
    let whole = b"3;x\r\nabc\r\n0\r\nA: b\r\n\r\n";
    for cut in 0..whole.len() {
        let (_, rest) = chunked(&whole[..cut]).unwrap();
        assert_eq!(rest, None, "cut at {cut}");
    }
    assert_eq!(chunked(whole).unwrap().1, Some(Vec::new()));
}

/// Cuts `text` at the given places.
fn split<'a>(text: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).chain([text.len()]).collect();
    ends.sort_unstable();
    let starts = [0].into_iter().chain(ends.clone());
    starts.zip(ends.clone()).map(|(start, end)| &text[start..end]).collect()
}

/// Chunks with extensions and trailers, as sent, and their data.
fn honest() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let chunk = (prop::collection::vec(any::<u8>(), 1..40), "(;[a-z]{1,5}(=\"[ a-z]{0,5}\")?)?", 0usize..4);
    (prop::collection::vec(chunk, 0..6), "(X-[a-z]{1,5}: [a-z]{0,5}\r\n){0,3}").prop_map(|(chunks, trailers)| {
        let (mut text, mut data) = (Vec::new(), Vec::new());
        for (bytes, extension, zeros) in chunks {
            text.extend_from_slice(format!("{}{:X}{extension}\r\n", "0".repeat(zeros), bytes.len()).as_bytes());
            text.extend_from_slice(&bytes);
            text.extend_from_slice(b"\r\n");
            data.extend_from_slice(&bytes);
        }
        text.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
        (text, data)
    })
}

proptest! {
    #[test]
    fn the_data_survives_any_split((text, data) in honest(), cuts in prop::collection::vec(any::<usize>(), 0..8)) {
        let pieces = split(&text, &cuts);
        let (clean, rest) = run(BodyCodec::new(Framing::Chunked, rules()), pieces.clone()).unwrap();
        prop_assert_eq!(rest, Some(Vec::new()));
        prop_assert!(clean.len() <= text.len());
        // What we wrote decodes to the same data, and cleaning it again changes nothing.
        let (plain, _) = run(BodyCodec::unchunking(Framing::Chunked, rules()), pieces).unwrap();
        prop_assert_eq!(&plain, &data);
        let (plain, _) = run(BodyCodec::unchunking(Framing::Chunked, rules()), [&clean[..]]).unwrap();
        prop_assert_eq!(&plain, &data);
        prop_assert_eq!(chunked(&clean).unwrap().0, clean);
    }

    #[test]
    fn anything_at_all_decodes_alike_in_pieces(
        pieces in prop::collection::vec(prop::sample::select(
            vec![&b"0\r\n"[..], b"\r\n", b"5\r\nhello\r\n", b"3", b";x", b"\n", b"\r", b"A: b\r\n", b"\0", b" "]), 0..10),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let text = pieces.concat();
        let whole = chunked(&text);
        let mut rest_follows = BodyCodec::new(Framing::Chunked, rules());
        let (mut input, mut output, mut result) = (BytesMut::new(), BytesMut::new(), Ok(Progress::NeedMore));
        for piece in split(&text, &cuts) {
            input.extend_from_slice(piece);
            result = rest_follows.step(&mut input, &mut output);
            if result.is_err() {
                break;
            }
        }
        match whole {
            Ok((clean, rest)) => {
                prop_assert_eq!(result, Ok(if rest.is_some() { Progress::Done } else { Progress::NeedMore }));
                prop_assert_eq!(&output[..], &clean[..]);
                prop_assert_eq!(&input[..], &rest.unwrap_or_default()[..]);
            }
            Err(error) => prop_assert_eq!(result, Err(error)),
        }
    }
}
