//! Finds where a head ends while its bytes arrive, and refuses bytes that no head may hold.

use super::{HeadError, HeadLimits};

/// What a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// A whole head of this many bytes, a leading empty line and the last CRLF included; what follows is not looked at.
    Complete(usize),
    /// The beginning of a head. The buffer is shorter than [`HeadLimits::max_bytes`].
    Partial,
}

/// Looks for the end of a head in `buf`, going on at `from` (0 for a new head), which is moved past what was checked.
///
/// One empty line before the start line is let through, as RFC 9112 section 2.2 asks of servers; [`super::parse_response`]
/// refuses it.
///
/// # Errors
/// A bare CR or LF, a control byte, a line that starts with white space, or no end within `limits.max_bytes`.
pub fn scan(buf: &[u8], from: &mut usize, limits: HeadLimits) -> Result<Scan, HeadError> {
    while let Some(end) = end_of_line(buf, from, limits.max_bytes)? {
        if end == 0 || !starts_line(buf, end) {
            continue;
        }
        // An empty line: the head's end, unless all there was before it is another one.
        return if end == 2 { Err(HeadError::EmptyLines) } else { Ok(Scan::Complete(end + 2)) };
    }
    Ok(Scan::Partial)
}

/// As [`scan`], for the fields behind a chunked body: an empty line ends them wherever it stands.
pub(crate) fn scan_trailers(buf: &[u8], from: &mut usize, limits: HeadLimits) -> Result<Scan, HeadError> {
    while let Some(end) = end_of_line(buf, from, limits.max_bytes)? {
        if starts_line(buf, end) {
            return Ok(Scan::Complete(end + 2));
        }
    }
    Ok(Scan::Partial)
}

/// The position of the next CRLF at or behind `from`, which is moved behind it, or to the end of what could be checked.
pub(crate) fn end_of_line(buf: &[u8], from: &mut usize, max_bytes: usize) -> Result<Option<usize>, HeadError> {
    loop {
        let at = *from;
        // Even a CRLF here would end beyond the limit. Said before the byte is there, so that a buffer of the
        // limit's size can't be full while more is waited for.
        if at + 2 > max_bytes {
            let in_start_line = !buf.iter().skip(2).take(at.saturating_sub(2)).any(|&b| b == b'\n');
            return Err(if in_start_line { HeadError::StartLineTooLong } else { HeadError::TooLarge });
        }
        match (buf.get(at), buf.get(at + 1)) {
            (None, _) | (Some(b'\r'), None) => return Ok(None),
            (Some(b'\r'), Some(b'\n')) => {
                *from = at + 2;
                return Ok(Some(at));
            }
            (Some(b'\r'), Some(_)) => return Err(HeadError::BareCr),
            (Some(b'\n'), _) => return Err(HeadError::BareLf),
            (Some(b' ' | b'\t'), _) if starts_line(buf, at) => return Err(HeadError::Folded),
            (Some(b'\t' | 0x20..=0x7e | 0x80..), _) => *from = at + 1,
            (Some(_), _) => return Err(HeadError::ControlByte),
        }
    }
}

/// Whether a line starts at `at`; every LF before it is known to end one.
fn starts_line(buf: &[u8], at: usize) -> bool {
    at.checked_sub(1).is_none_or(|before| buf[before] == b'\n')
}
