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
    let mut mended = Vec::with_capacity(lines.len() + 16);
    // A fold goes the way of the line that it belongs to.
    let (mut left_out, mut frames) = (false, false);
    let (mut coding, mut length, mut odd_framing) = (false, false, false);
    for (number, line) in lines.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if is_blank(line.first()) {
            if line.trim_ascii().is_empty() {
                return Err(HeadError::Folded);
            }
            odd_framing |= frames;
            if !left_out {
                mended.truncate(mended.trim_ascii_end().len());
                mended.push(b' ');
                push(&mut mended, line.trim_ascii());
            }
            continue;
        }
        left_out = false;
        match line.iter().position(|&byte| byte == b':') {
            Some(colon) if number > 0 || !start_line => {
                let end = line[..colon].iter().rposition(|byte| !is_blank(Some(byte))).map_or(0, |last| last + 1);
                let name = &line[..end];
                let (is_coding, is_length) =
                    (name.eq_ignore_ascii_case(CODING.as_bytes()), name.eq_ignore_ascii_case(LENGTH.as_bytes()));
                (coding, length, frames) = (coding | is_coding, length | is_length, is_coding | is_length);
                odd_framing |= frames && end < colon;
                left_out = !name.is_empty() && name.iter().all(u8::is_ascii_graphic) && !is_token(name);
                if !left_out {
                    mended.extend_from_slice(name);
                    push(&mut mended, &line[colon..]);
                }
            }
            // The start line, or the empty one at the end.
            None if line.is_empty() || (start_line && number == 0) => push(&mut mended, line),
            Some(_) => push(&mut mended, line),
            None => return Err(HeadError::Field),
        }
    }
    if odd_framing && coding && length {
        return Err(HeadError::LengthAndCoding);
    }
    Ok(if mended == lines { Cow::Borrowed(lines) } else { Cow::Owned(mended) })
}

fn is_blank(byte: Option<&u8>) -> bool {
    matches!(byte, Some(b' ' | b'\t'))
}

/// Appends a line's rest and CRLF.
fn push(mended: &mut Vec<u8>, rest: &[u8]) {
    mended.extend(rest.iter().map(|&byte| if byte != b'\t' && byte.is_ascii_control() { b' ' } else { byte }));
    mended.extend_from_slice(b"\r\n");
}
