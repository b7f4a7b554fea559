//! Finds where a head ends while its bytes arrive, and refuses bytes that no head may hold.

use super::{HeadError, HeadLimits, Kind};

/// What a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// A whole head of this many bytes, a leading empty line and the last CRLF included; what follows is not looked at.
    Complete(usize),
    /// The beginning of a head. The buffer is shorter than [`HeadLimits::max_bytes`].
    Partial,
}

/// What may stand in the lines that are looked through.
#[derive(Clone, Copy)]
pub(crate) struct Lines {
    kind: Kind,
    /// They end in LF alone.
    bare: bool,
    /// The first is no field.
    start_line: bool,
}

impl Lines {
    /// Fields alone, in lines that end in CRLF.
    pub(crate) fn of_fields(kind: Kind) -> Self {
        Lines { kind, bare: false, start_line: false }
    }

    /// Those of a head: a response's whose first line ends in LF alone is read as one whose lines all do.
    pub(super) fn of_head(buf: &[u8], kind: Kind) -> Self {
        let first = || buf.iter().position(|&byte| byte == b'\n');
        let bare = kind == Kind::Response && first().is_some_and(|lf| lf > 0 && buf[lf - 1] != b'\r');
        Lines { kind, bare, start_line: true }
    }

    /// Whether a field ends right before the line at `at`, so that the line may be a part of it.
    fn has_field(self, buf: &[u8], at: usize) -> bool {
        at > 0 && !(self.start_line && in_start_line(buf, at - 1))
    }

    /// Bytes that end a line.
    fn end_len(self) -> usize {
        if self.bare { 1 } else { 2 }
    }
}

/// Looks for the end of a head in `buf`, going on at `from` (0 for a new head), which is moved past what was checked.
///
/// One empty line before the start line is let through, as RFC 9112 section 2.2 asks of servers.
///
/// # Errors
/// No end within `limits.max_bytes`, or a byte that no head of this kind may hold: NUL, a bare CR, a bare LF, white space
/// in front of the first field; in a request also any other control byte and any line that starts with white space. A
/// response may end all its lines in LF alone.
pub fn scan(buf: &[u8], from: &mut usize, limits: HeadLimits, kind: Kind) -> Result<Scan, HeadError> {
    let lines = Lines::of_head(buf, kind);
    while let Some(end) = end_of_line(buf, from, limits.max_bytes, lines)? {
        if end == 0 || !starts_line(buf, end) {
            continue;
        }
        // An empty line: the head's end, unless all there was before it is another one.
        return if end == 2 { Err(HeadError::EmptyLines) } else { Ok(Scan::Complete(end + lines.end_len())) };
    }
    Ok(Scan::Partial)
}

/// As [`scan`], for the fields behind a chunked body: an empty line ends them wherever it stands.
pub(crate) fn scan_trailers(buf: &[u8], from: &mut usize, limits: HeadLimits, kind: Kind) -> Result<Scan, HeadError> {
    while let Some(end) = end_of_line(buf, from, limits.max_bytes, Lines::of_fields(kind))? {
        if starts_line(buf, end) {
            return Ok(Scan::Complete(end + 2));
        }
    }
    Ok(Scan::Partial)
}

/// The position of the next line's end at or behind `from`, which is moved behind it, or to the end of what could be
/// checked.
pub(crate) fn end_of_line(
    buf: &[u8],
    from: &mut usize,
    max_bytes: usize,
    lines: Lines,
) -> Result<Option<usize>, HeadError> {
    let lenient = lines.kind == Kind::Response;
    loop {
        let at = *from;
        // Even a CRLF here would end beyond the limit. Said before the byte is there, so that a buffer of the
        // limit's size can't be full while more is waited for.
        if at + 2 > max_bytes {
            return Err(if in_start_line(buf, at) { HeadError::StartLineTooLong } else { HeadError::TooLarge });
        }
        match (buf.get(at), buf.get(at + 1)) {
            (None, _) => return Ok(None),
            (Some(b'\n'), _) if lines.bare => {
                *from = at + 1;
                return Ok(Some(at));
            }
            (Some(b'\r'), _) if lines.bare => return Err(HeadError::BareCr),
            (Some(b'\r'), None) => return Ok(None),
            (Some(b'\r'), Some(b'\n')) => {
                *from = at + 2;
                return Ok(Some(at));
            }
            (Some(b'\r'), Some(_)) => return Err(HeadError::BareCr),
            (Some(b'\n'), _) => return Err(HeadError::BareLf),
            (Some(b' ' | b'\t'), _) if starts_line(buf, at) && !(lenient && lines.has_field(buf, at)) => {
                return Err(HeadError::Folded);
            }
            (Some(b'\t' | 0x20..=0x7e | 0x80..), _) => *from = at + 1,
            (Some(1..), _) if lenient => *from = at + 1,
            (Some(_), _) => return Err(HeadError::ControlByte),
        }
    }
}

/// Whether no line but an empty one ends before `at`.
fn in_start_line(buf: &[u8], at: usize) -> bool {
    !buf.iter().skip(2).take(at.saturating_sub(2)).any(|&byte| byte == b'\n')
}

/// Whether a line starts at `at`; every LF before it is known to end one.
fn starts_line(buf: &[u8], at: usize) -> bool {
    at.checked_sub(1).is_none_or(|before| buf[before] == b'\n')
}
