//! Responses that are not written as they should be, but can be read in one way only.
//!
//! What curl, Chromium, nginx or HAProxy take is taken (ARCHITECTURE.md, "Lenient and strict"), by writing the lines anew as
//! they should have been; the strict reader then reads those. Requests never come here.

use std::borrow::Cow;

use super::framing::{CODING, LENGTH};
use super::{HeadError, is_token};

/// Field lines, with or without a start line before them, as the strict reader takes them. [`super::scan`] has found
/// nothing wrong with `lines`.
///
/// - A folded line is joined to the one before by a space (RFC 9112 section 5.2).
/// - White space between name and colon is removed (section 5.1).
/// - A line's end of LF alone becomes CRLF (section 2.2).
/// - A control byte becomes a space (RFC 9110 section 5.5).
/// - A field whose name is visible ASCII but no token is left out: nobody can take it for another.
///
/// # Errors
/// A line without a colon; a folded line of nothing but white space, which some readers take for the empty line that ends
/// the head; Transfer-Encoding beside Content-Length where one of them had to be mended, since some readers miss that one.
pub(super) fn mend(lines: &[u8], start_line: bool) -> Result<Cow<'_, [u8]>, HeadError> {
    let mut mender = Mender::with_capacity(lines.len() + 16);
    for (number, line) in lines.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || (start_line && number == 0) {
            mender.push(line);
        } else if is_blank(line[0]) {
            mender.fold(line.trim_ascii())?;
        } else {
            let colon = line.iter().position(|&byte| byte == b':').ok_or(HeadError::Field)?;
            mender.field(&line[..colon], &line[colon..]);
        }
    }
    let mended = mender.finish()?;
    Ok(if mended == lines { Cow::Borrowed(lines) } else { Cow::Owned(mended) })
}

/// Lines in their strict form, and what decides how more of them are read.
#[derive(Default)]
struct Mender {
    out: Vec<u8>,
    /// The last field, to which a folded line belongs, was left out.
    left_out: bool,
    /// It says where the body ends.
    frames: bool,
    has_coding: bool,
    has_length: bool,
    /// A field that says where the body ends was not written as it should be.
    odd_framing: bool,
}

impl Mender {
    fn with_capacity(bytes: usize) -> Self {
        Mender { out: Vec::with_capacity(bytes), ..Mender::default() }
    }

    /// A field: what stands before its colon, and the rest.
    fn field(&mut self, before: &[u8], rest: &[u8]) {
        let name = &before[..before.iter().rposition(|&byte| !is_blank(byte)).map_or(0, |last| last + 1)];
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        self.frames = is(CODING) || is(LENGTH);
        self.has_coding |= is(CODING);
        self.has_length |= is(LENGTH);
        self.odd_framing |= self.frames && name != before;
        self.left_out = !name.is_empty() && name.iter().all(u8::is_ascii_graphic) && !is_token(name);
        if !self.left_out {
            self.out.extend_from_slice(name);
            self.push(rest);
        }
    }

    /// A line that belongs to the field before it, without the white space around it.
    fn fold(&mut self, rest: &[u8]) -> Result<(), HeadError> {
        if rest.is_empty() {
            return Err(HeadError::Folded);
        }
        self.odd_framing |= self.frames;
        if !self.left_out {
            self.out.truncate(self.out.trim_ascii_end().len());
            self.out.push(b' ');
            self.push(rest);
        }
        Ok(())
    }

    /// A line's rest, and CRLF.
    fn push(&mut self, rest: &[u8]) {
        self.out.extend(rest.iter().map(|&byte| if byte != b'\t' && byte.is_ascii_control() { b' ' } else { byte }));
        self.out.extend_from_slice(b"\r\n");
    }

    fn finish(self) -> Result<Vec<u8>, HeadError> {
        if self.odd_framing && self.has_coding && self.has_length {
            return Err(HeadError::LengthAndCoding);
        }
        Ok(self.out)
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}
