//! Passes message bodies on: checked, cleaned, and never held whole.
//!
//! One [`BodyCodec::step`] serves every framing, so that the caller has one loop. A chunked body is written anew:
//! its sizes in plain hex, its extensions dropped, its trailers checked. So nothing that another reader could take
//! for the end of a chunk or of the body (RFC 9112 sections 7.1 and 11.2) gets past here.

use bytes::{Buf, BytesMut};
use thiserror::Error;

use crate::http::head::{
    Fields, Framing, HeadError, HeadLimits, Kind, Lines, Named, Scan, end_of_line, parse_fields, scan_trailers,
};

/// Hex digits in a chunk size: as many as a `u64` holds.
const MAX_SIZE_DIGITS: usize = 16;
/// Bytes of extensions behind one chunk size.
const MAX_EXTENSION: usize = 256;
/// Bytes of chunk lines a body may have beyond what its data justifies, so that one can't be all extensions.
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
    /// The body goes on; the input is used up.
    NeedMore,
    /// The body is whole; what is left of the input lies behind it.
    Done,
}

/// Why a body can't be passed on. Where the message ends is not known after this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BodyError {
    /// A chunk size that is not 1 to 16 hex digits.
    #[error("malformed chunk size")]
    ChunkSize,
    /// Something behind a chunk size that is no extension, or too long for one.
    #[error("malformed or too long chunk extension")]
    ChunkExtension,
    /// Chunk lines out of proportion to the data.
    #[error("too many bytes in chunk lines for so little data")]
    ChunkOverhead,
    /// No CRLF behind a chunk's data.
    #[error("a chunk is longer than its size says")]
    ChunkEnd,
    /// A bad byte in a chunk line.
    #[error("malformed chunk line: {0}")]
    ChunkLine(HeadError),
    /// Malformed or too large trailers.
    #[error("malformed trailers: {0}")]
    Trailers(HeadError),
}

impl BodyError {
    /// The status a client is answered with, if nothing was answered yet.
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
    /// This many bytes are left; a message without a body has none.
    Length(LengthBody),
    /// A chunked one.
    Chunked(ChunkedBody),
    /// Until the stream ends.
    UntilClose,
}

/// What a body is read by besides its framing.
#[derive(Clone, Debug)]
pub struct BodyRules {
    /// A response's chunks are read more leniently.
    pub kind: Kind,
    /// Of the trailers.
    pub limits: HeadLimits,
    /// What the head's Connection takes from the trailers too.
    pub named_by_connection: Named,
}

impl BodyRules {
    /// For the body of a message with these fields.
    pub fn new(kind: Kind, fields: &Fields, limits: HeadLimits) -> Self {
        BodyRules { kind, limits, named_by_connection: fields.named_by_connection() }
    }
}

impl BodyCodec {
    /// For a body in `framing`, passed on in the same framing.
    pub fn new(framing: Framing, rules: BodyRules) -> Self {
        match framing {
            Framing::None => BodyCodec::Length(LengthBody { remaining: 0 }),
            Framing::Length(remaining) => BodyCodec::Length(LengthBody { remaining }),
            Framing::Chunked => BodyCodec::Chunked(ChunkedBody::new(Emit::Chunks, rules)),
            Framing::UntilClose => BodyCodec::UntilClose,
        }
    }

    /// As [`BodyCodec::new`], but of a chunked body only the data is passed on: for an HTTP/1.0 client, to whom the
    /// end of the connection ends the body. The caller takes Transfer-Encoding and Trailer from the head.
    pub fn unchunking(framing: Framing, rules: BodyRules) -> Self {
        match framing {
            Framing::Chunked => BodyCodec::Chunked(ChunkedBody::new(Emit::Data, rules)),
            framing => BodyCodec::new(framing, rules),
        }
    }

    /// Moves what it can of the body from `input` to `output`.
    ///
    /// A body that needs more has used up its input. The output grows by no more than the input held now plus, at
    /// the end of a chunked body, the trailers held back until they were whole.
    ///
    /// # Errors
    /// The body is malformed; what was appended before stays good, the rest must not be passed on.
    pub fn step(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Progress, BodyError> {
        match self {
            BodyCodec::Length(body) => body.step(input, output),
            BodyCodec::Chunked(body) => return body.step(input, output),
            BodyCodec::UntilClose => move_bytes(input, output, input.len()),
        }
        Ok(if self.is_done() { Progress::Done } else { Progress::NeedMore })
    }

    /// Whether the body is whole; at once where there is none.
    pub fn is_done(&self) -> bool {
        match self {
            BodyCodec::Length(body) => body.remaining == 0,
            BodyCodec::Chunked(body) => body.state == State::Done,
            BodyCodec::UntilClose => false,
        }
    }

    /// What the end of the stream means here.
    ///
    /// # Errors
    /// The body was announced to go on.
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
    /// Moves what there is of it, and no byte beyond.
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
    /// A size line or trailers that are not whole yet, and how far they are checked.
    held: Vec<u8>,
    checked: usize,
    /// Bytes of chunk lines not yet justified by data.
    overhead: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Emit {
    Chunks,
    Data,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a size line.
    Size,
    /// So much of the chunk's data still.
    Data(u64),
    /// In the CRLF behind the data.
    DataEnd,
    /// Behind the last chunk.
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
        // A bad byte is refused as soon as it is seen, not when its line ends.
        let digits = self.held.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        if digits > MAX_SIZE_DIGITS || (digits == 0 && self.held.first().is_some_and(|&b| b != b'\r')) {
            return Err(BodyError::ChunkSize);
        }
        // Strictly: what ends a line of chunks is read in many ways, and requests have been smuggled by that.
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
            // White space alone: many a server writes sizes of a fixed width.
            None => extension.is_empty() || self.rules.kind == Kind::Response,
        };
        if !is_extension {
            return Err(BodyError::ChunkExtension);
        }
        // An honest sender's lines are short, or its chunks are large.
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
            let is_condition = name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("if-"));
            !is_condition
                && !FORBIDDEN_TRAILERS.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
                && !named_by_connection.contains(name)
        });
        if self.emit == Emit::Chunks {
            fields.write_to(output);
        }
        self.release();
        self.state = State::Done;
        Ok(())
    }

    /// Takes input up to the end of the line, or all of it. What the limits forbid is refused before more is held.
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

/// Moves at most `limit` bytes and says how many.
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
