//! Passes message bodies on. Each body is checked and cleaned on the way, and is never held whole.
//!
//! One [`BodyCodec::step`] serves every framing, so that the caller has one loop. A chunked body is written anew: sizes
//! become plain hex, extensions are dropped, and trailers are checked. So nothing passes that another reader could take for
//! the end of a chunk or of the body (RFC 9112 sections 7.1 and 11.2).

use bytes::{Buf, BytesMut};
use thiserror::Error;

use crate::http::head::{
    Fields, Framing, HeadError, HeadLimits, Kind, Lines, Named, Scan, end_of_line, parse_fields, scan_trailers,
};

/// How many hex digits a chunk size may have: as many as fit into a `u64`.
const MAX_SIZE_DIGITS: usize = 16;
/// How many bytes of extensions may follow one chunk size.
const MAX_EXTENSION: usize = 256;
/// How many bytes of chunk lines a body may have beyond what its data justifies, so that no body consists of extensions alone.
const MAX_OVERHEAD: u64 = 16 * 1024;

/// Trailer fields that are dropped: those that frame, route, authenticate or steer a message take effect only in a
/// head, and must not be merged into one by a later reader (RFC 9110 section 6.5.1).
const FORBIDDEN_TRAILERS: [&str; 33] = [
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "warning",
    "www-authenticate",
];

/// What a step left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The body goes on. The input is used up.
    NeedMore,
    /// The body is complete. What is left of the input follows it.
    Done,
}

/// Why a body can't be passed on. After this nobody knows where the message ends, so the connection can't be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BodyError {
    /// The size of a chunk is not 1 to 16 hex digits.
    #[error("malformed chunk size")]
    ChunkSize,
    /// What follows a chunk size is not an extension, or is too long.
    #[error("malformed or too long chunk extension")]
    ChunkExtension,
    /// The chunk lines are long in proportion to the data.
    #[error("too many bytes in chunk lines for so little data")]
    ChunkOverhead,
    /// No CRLF follows the data of a chunk.
    #[error("a chunk is longer than its size says")]
    ChunkEnd,
    /// A chunk line has a byte that it may not have.
    #[error("malformed chunk line: {0}")]
    ChunkLine(HeadError),
    /// The trailers are malformed or too large.
    #[error("malformed trailers: {0}")]
    Trailers(HeadError),
}

impl BodyError {
    /// The status with which a client is answered, if nothing was answered yet.
    pub fn status(self) -> u16 {
        match self {
            BodyError::Trailers(HeadError::TooLarge | HeadError::StartLineTooLong | HeadError::TooManyFields) => 431,
            _ => 400,
        }
    }

    /// The word for logs and metric labels.
    pub fn token(self) -> &'static str {
        match self {
            BodyError::ChunkSize => "bad_chunk_size",
            BodyError::ChunkExtension => "bad_chunk_extension",
            BodyError::ChunkOverhead => "chunk_overhead",
            BodyError::ChunkEnd => "bad_chunk_end",
            BodyError::ChunkLine(_) => "bad_chunk_line",
            BodyError::Trailers(_) => "bad_trailers",
        }
    }
}

/// The stream ended before the body did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the connection ended before the body")]
pub struct Truncated;

/// Passes on one body.
#[derive(Debug)]
pub enum BodyCodec {
    /// The body has a known length. A message without a body has the length 0.
    Length(LengthBody),
    /// The body is chunked.
    Chunked(ChunkedBody),
    /// The body goes on until the stream ends.
    UntilClose,
}

/// What decides how a body is read, besides its framing.
#[derive(Clone, Debug)]
pub struct BodyRules {
    /// Which kind of message it is. The chunks of a response are read more leniently.
    pub kind: Kind,
    /// The limits for its trailers.
    pub limits: HeadLimits,
    /// The fields that the head's Connection names. They are removed from the trailers too.
    pub named_by_connection: Named,
}

impl BodyRules {
    /// The rules for the body of a message with these fields.
    pub fn new(kind: Kind, fields: &Fields, limits: HeadLimits) -> Self {
        BodyRules { kind, limits, named_by_connection: fields.named_by_connection() }
    }
}

impl BodyCodec {
    /// Makes a codec for a body that comes in `framing` and is passed on in the same framing.
    pub fn new(framing: Framing, rules: BodyRules) -> Self {
        match framing {
            Framing::None => BodyCodec::Length(LengthBody { remaining: 0 }),
            Framing::Length(remaining) => BodyCodec::Length(LengthBody { remaining }),
            Framing::Chunked => BodyCodec::Chunked(ChunkedBody::new(Emit::Chunks, rules)),
            Framing::UntilClose => BodyCodec::UntilClose,
        }
    }

    /// As [`BodyCodec::new`], but of a chunked body only the data is passed on. This is for HTTP/1.0 clients, for whom the end
    /// of the connection ends the body. The caller removes Transfer-Encoding and Trailer from the head.
    pub fn unchunking(framing: Framing, rules: BodyRules) -> Self {
        match framing {
            Framing::Chunked => BodyCodec::Chunked(ChunkedBody::new(Emit::Data, rules)),
            framing => BodyCodec::new(framing, rules),
        }
    }

    /// Moves as much of the body as it can from `input` to `output`.
    ///
    /// If the body needs more, all input is used up. The output grows by at most the length of the input. At the end of a chunked
    /// body it also grows by the trailers, which were held back until they were complete.
    ///
    /// # Errors
    /// The body is malformed. What is in the output is good, and the rest must not be passed on.
    pub fn step(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Progress, BodyError> {
        match self {
            BodyCodec::Length(body) => body.step(input, output),
            BodyCodec::Chunked(body) => return body.step(input, output),
            BodyCodec::UntilClose => move_bytes(input, output, input.len()),
        }
        Ok(if self.is_done() { Progress::Done } else { Progress::NeedMore })
    }

    /// Whether the body is complete. A body of length 0 is complete from the start.
    pub fn is_done(&self) -> bool {
        match self {
            BodyCodec::Length(body) => body.remaining == 0,
            BodyCodec::Chunked(body) => body.state == State::Done,
            BodyCodec::UntilClose => false,
        }
    }

    /// Says whether the body may end because the stream has ended.
    ///
    /// # Errors
    /// The body was announced to be longer.
    pub fn finish_on_eof(&self) -> Result<(), Truncated> {
        if self.is_done() || matches!(self, BodyCodec::UntilClose) { Ok(()) } else { Err(Truncated) }
    }
}

/// A body of known length.
#[derive(Debug)]
pub struct LengthBody {
    remaining: u64,
}

impl LengthBody {
    /// Moves the bytes of the body that are there, and no byte behind the body.
    fn step(&mut self, input: &mut BytesMut, output: &mut BytesMut) {
        self.remaining -= move_up_to(input, output, self.remaining);
    }
}

/// A chunked body.
#[derive(Debug)]
pub struct ChunkedBody {
    state: State,
    emit: Emit,
    rules: BodyRules,
    /// A size line or trailers that are not complete yet, and how many of their bytes are checked.
    held: Vec<u8>,
    checked: usize,
    /// How many bytes of chunk lines are not justified by data.
    overhead: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Emit {
    Chunks,
    Data,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The next bytes belong to a size line.
    Size,
    /// This many bytes of the chunk's data follow.
    Data(u64),
    /// The next bytes belong to the CRLF behind the data.
    DataEnd,
    /// The last chunk has ended, and trailers follow.
    Trailers,
    Done,
}

impl ChunkedBody {
    fn new(emit: Emit, rules: BodyRules) -> Self {
        ChunkedBody { state: State::Size, emit, rules, held: Vec::new(), checked: 0, overhead: 0 }
    }

    fn step(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Progress, BodyError> {
        while self.state != State::Done {
            if input.is_empty() {
                return Ok(Progress::NeedMore);
            }
            match self.state {
                State::Size => self.size_line(input, output)?,
                State::Data(remaining) => {
                    let remaining = remaining - move_up_to(input, output, remaining);
                    self.state = if remaining == 0 { State::DataEnd } else { State::Data(remaining) };
                }
                State::DataEnd => self.data_end(input, output)?,
                State::Trailers => self.trailers(input, output)?,
                State::Done => {}
            }
        }
        Ok(Progress::Done)
    }

    fn size_line(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<(), BodyError> {
        self.hold_line(input);
        // A bad byte is refused as soon as it arrives, and not only when its line ends.
        let digits = self.held.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        if digits > MAX_SIZE_DIGITS || (digits == 0 && self.held.first().is_some_and(|&b| b != b'\r')) {
            return Err(BodyError::ChunkSize);
        }
        // The ends of chunk lines are read strictly in responses, too: readers differ on them, which was used to smuggle requests.
        let lines = Lines::of_fields(Kind::Request);
        let end = match end_of_line(&self.held, &mut self.checked, digits + MAX_EXTENSION + 2, lines) {
            Ok(Some(end)) => end,
            Ok(None) => return Ok(()),
            Err(HeadError::TooLarge | HeadError::StartLineTooLong) => return Err(BodyError::ChunkExtension),
            Err(error) => return Err(BodyError::ChunkLine(error)),
        };
        let size = str::from_utf8(&self.held[..digits]).ok().and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let size = size.ok_or(BodyError::ChunkSize)?;
        let extension = &self.held[digits..end];
        let is_extension = match extension.trim_ascii_start().first() {
            Some(byte) => *byte == b';',
            // Nothing but white space follows the size. Some servers write sizes with a fixed width.
            None => extension.is_empty() || self.rules.kind == Kind::Response,
        };
        if !is_extension {
            return Err(BodyError::ChunkExtension);
        }
        // Honest senders have short lines or large chunks.
        self.overhead = (self.overhead + self.held.len() as u64).saturating_sub(16).saturating_sub(size);
        if self.overhead > MAX_OVERHEAD {
            return Err(BodyError::ChunkOverhead);
        }
        if self.emit == Emit::Chunks {
            output.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        }
        self.release();
        self.state = if size == 0 { State::Trailers } else { State::Data(size) };
        Ok(())
    }

    fn data_end(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<(), BodyError> {
        let wanted = if self.held.is_empty() { b'\r' } else { b'\n' };
        if input.get_u8() != wanted {
            return Err(BodyError::ChunkEnd);
        }
        if wanted == b'\r' {
            self.held.push(wanted);
            return Ok(());
        }
        if self.emit == Emit::Chunks {
            output.extend_from_slice(b"\r\n");
        }
        self.release();
        self.state = State::Size;
        Ok(())
    }

    fn trailers(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<(), BodyError> {
        self.hold_line(input);
        let BodyRules { kind, limits, ref named_by_connection } = self.rules;
        let scanned = scan_trailers(&self.held, &mut self.checked, limits, kind).map_err(BodyError::Trailers)?;
        if scanned == Scan::Partial {
            return Ok(());
        }
        let mut fields: Fields = parse_fields(&self.held, limits, kind).map_err(BodyError::Trailers)?;
        fields.retain(|name| {
            let is_condition = name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"if-"));
            !is_condition
                && !FORBIDDEN_TRAILERS.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes()))
                && !named_by_connection.contains(name)
        });
        if self.emit == Emit::Chunks {
            fields.write_to(output);
        }
        self.release();
        self.state = State::Done;
        Ok(())
    }

    /// Takes input up to the end of the line, or all of it. Callers check the limits before they take more.
    fn hold_line(&mut self, input: &mut BytesMut) {
        let line = input.iter().position(|&b| b == b'\n').map_or(input.len(), |lf| lf + 1);
        self.held.extend_from_slice(&input[..line]);
        input.advance(line);
    }

    fn release(&mut self) {
        self.held = Vec::new();
        self.checked = 0;
    }
}

/// Moves at most `limit` bytes and returns how many it has moved.
fn move_up_to(input: &mut BytesMut, output: &mut BytesMut, limit: u64) -> u64 {
    let count = usize::try_from(limit).unwrap_or(usize::MAX).min(input.len());
    move_bytes(input, output, count);
    count as u64
}

fn move_bytes(input: &mut BytesMut, output: &mut BytesMut, count: usize) {
    output.extend_from_slice(&input[..count]);
    input.advance(count);
}

#[cfg(test)]
mod tests;
