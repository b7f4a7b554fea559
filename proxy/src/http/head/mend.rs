//! Mends responses that break the rules, but can be read in one way only.
//!
//! What curl, Chromium, nginx or HAProxy accept is accepted (ARCHITECTURE.md, "Lenient and strict"): the lines are written anew
//! as they should have been, and the strict reader then reads those. Requests are never mended.

use std::borrow::Cow;

use super::fields::is_control;
use super::framing::{CODING, LENGTH};
use super::{HeadError, is_token};

/// Writes field lines, with or without a start line before them, as the strict reader accepts them. [`super::scan`] must have
/// accepted `lines`.
///
/// - A folded line is joined to the one before by a space (RFC 9112 section 5.2).
/// - White space between name and colon is removed (section 5.1).
/// - An LF alone at the end of a line becomes CRLF (section 2.2).
/// - A control byte becomes a space (RFC 9110 section 5.5).
/// - A field whose name is visible ASCII but not a token is left out, because nobody can take it for another field.
///
/// # Errors
/// - A line has no colon.
/// - A folded line is nothing but white space. Some readers take it for the empty line that ends the head.
pub(super) fn mend(lines: &[u8], start_line: bool) -> Result<Mended<'_>, HeadError> {
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
    let disputed_framing = mender.odd_framing && mender.has_coding && mender.has_length;
    let lines = if mender.out == lines { Cow::Borrowed(lines) } else { Cow::Owned(mender.out) };
    Ok(Mended { lines, disputed_framing })
}

/// Whether the bytes of `lines`, which [`super::scan`] has accepted, are those of strict ones: every line ends in CRLF, and there is
/// no other control byte. Then what is left to mend is a line that the strict reader refuses.
pub(super) fn has_strict_bytes(lines: &[u8]) -> bool {
    // No byte is skipped, so that several are looked at at once.
    let odd = |found, &byte: &u8| found | (is_control(byte) & (byte != b'\r') & (byte != b'\n'));
    // Where one line ends in LF alone, all do, and there is no CR.
    lines.ends_with(b"\r\n") && !lines.iter().fold(false, odd)
}

/// What [`mend`] made of field lines.
pub(super) struct Mended<'a> {
    /// As the strict reader takes them; owned where anything was mended.
    pub(super) lines: Cow<'a, [u8]>,
    /// Transfer-Encoding stands beside Content-Length, and one of them had to be mended: some readers miss that one.
    pub(super) disputed_framing: bool,
}

/// The lines in their strict form, and what decides how the next lines are read.
#[derive(Default)]
struct Mender {
    out: Vec<u8>,
    /// Whether the last field was left out. A folded line that continues it is left out, too.
    left_out: bool,
    /// Whether the last field says where the body ends.
    frames: bool,
    has_coding: bool,
    has_length: bool,
    /// Whether a field that says where the body ends had to be mended.
    odd_framing: bool,
}

impl Mender {
    fn with_capacity(bytes: usize) -> Self {
        Mender { out: Vec::with_capacity(bytes), ..Mender::default() }
    }

    /// Adds a field: `name` precedes its colon, and the rest begins with the colon.
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

    /// Adds a line that continues the field before it. The caller has removed the white space around it.
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

    /// Adds the rest of a line, and CRLF.
    fn push(&mut self, rest: &[u8]) {
        self.out.extend(rest.iter().map(|&byte| if is_control(byte) { b' ' } else { byte }));
        self.out.extend_from_slice(b"\r\n");
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}
