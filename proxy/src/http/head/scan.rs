//! Finds where a head ends while its bytes arrive, and refuses bytes that no head may hold.

use super::{HeadError, HeadLimits, Kind};

/// What a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// A complete head of this many bytes, including an empty line before it and the last CRLF. The bytes behind it are not checked.
    Complete(usize),
    /// The beginning of a head, which is shorter than [`HeadLimits::max_bytes`].
    Partial,
}

/// Decides which bytes the lines may have, and how they end.
#[derive(Clone, Copy)]
pub(crate) struct Lines {
    kind: Kind,
    /// Whether the lines end in LF alone.
    bare: bool,
    /// Whether the first line is a start line.
    start_line: bool,
}

impl Lines {
    /// For field lines without a start line. They end in CRLF.
    pub(crate) fn of_fields(kind: Kind) -> Self {
        Lines { kind, bare: false, start_line: false }
    }

    /// For the lines of a head. If the first line of a response ends in LF alone, all its lines have to.
    pub(super) fn of_head(buf: &[u8], kind: Kind) -> Self {
        let first = || buf.iter().position(|&byte| byte == b'\n');
        let bare = kind == Kind::Response && first().is_some_and(|lf| lf > 0 && buf[lf - 1] != b'\r');
        Lines { kind, bare, start_line: true }
    }

    /// Whether the line before the one at `at` is a field, which that line may continue.
    fn has_field(self, buf: &[u8], at: usize) -> bool {
        at > 0 && !(self.start_line && in_start_line(buf, at - 1))
    }

    /// How many bytes end a line.
    fn end_len(self) -> usize {
        if self.bare { 1 } else { 2 }
    }
}

/// A whole head, whose bytes [`scan`] has accepted.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a>(&'a [u8]);

impl<'a> Head<'a> {
    /// Looks for a head at the beginning of `buf`; see [`scan`]. `None` while its end has not arrived.
    ///
    /// # Errors
    /// [`scan`]'s.
    pub(crate) fn find(
        buf: &'a [u8],
        from: &mut usize,
        limits: HeadLimits,
        kind: Kind,
    ) -> Result<Option<Self>, HeadError> {
        Ok(match scan(buf, from, limits, kind)? {
            Scan::Complete(length) => Some(Head(&buf[..length])),
            Scan::Partial => None,
        })
    }

    /// The head in `buf`, which holds nothing else.
    ///
    /// # Errors
    /// [`scan`]'s; it is not complete, or something follows it.
    pub(super) fn whole(buf: &'a [u8], limits: HeadLimits, kind: Kind) -> Result<Self, HeadError> {
        let head = Head::find(buf, &mut 0, limits, kind)?;
        head.filter(|head| head.0.len() == buf.len()).ok_or(HeadError::Incomplete)
    }

    /// Its bytes, with an empty line that precedes it.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// Looks for the end of a head in `buf`, and checks its bytes from `from` on. It moves `from` behind the bytes that it has checked,
/// so that the next call can go on there. For a new head `from` is 0.
///
/// One empty line before the start line is allowed, as RFC 9112 section 2.2 asks of servers.
///
/// # Errors
/// The head does not end within `limits.max_bytes`, or has something that a head of this kind may not have: NUL, a bare CR, a
/// bare LF, or white space in front of the first field. A request may have no other control byte either, and no line that
/// starts with white space. A response may end all its lines in LF alone.
pub fn scan(buf: &[u8], from: &mut usize, limits: HeadLimits, kind: Kind) -> Result<Scan, HeadError> {
    let lines = Lines::of_head(buf, kind);
    while let Some(end) = end_of_line(buf, from, limits.max_bytes, lines)? {
        if end == 0 || !starts_line(buf, end) {
            continue;
        }
        // This is an empty line. It ends the head, unless only another empty line precedes it.
        return if end == 2 { Err(HeadError::EmptyLines) } else { Ok(Scan::Complete(end + lines.end_len())) };
    }
    Ok(Scan::Partial)
}

/// As [`scan`], for the fields behind a chunked body. There the first empty line is always the end.
pub(crate) fn scan_trailers(buf: &[u8], from: &mut usize, limits: HeadLimits, kind: Kind) -> Result<Scan, HeadError> {
    while let Some(end) = end_of_line(buf, from, limits.max_bytes, Lines::of_fields(kind))? {
        if starts_line(buf, end) {
            return Ok(Scan::Complete(end + 2));
        }
    }
    Ok(Scan::Partial)
}

/// The position at which the line that goes on at `from` ends. It moves `from` behind that end or, if the end has not arrived, behind
/// the bytes that it has checked.
pub(crate) fn end_of_line(
    buf: &[u8],
    from: &mut usize,
    max_bytes: usize,
    lines: Lines,
) -> Result<Option<usize>, HeadError> {
    let lenient = lines.kind == Kind::Response;
    loop {
        let at = *from;
        // Even a CRLF here would exceed the limit. This is an error already now, so that a buffer of the limit's size is never
        // full while the caller waits for more.
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
            (Some(b'\t' | 0x20..=0x7e | 0x80..), _) => *from = at + 1 + plain(buf, at + 1, max_bytes),
            (Some(1..), _) if lenient => *from = at + 1,
            (Some(_), _) => return Err(HeadError::ControlByte),
        }
    }
}

/// How many bytes from `at` on may stand within any line, up to where a line's end would exceed the limit.
fn plain(buf: &[u8], at: usize, max_bytes: usize) -> usize {
    let until = buf.len().min(max_bytes.saturating_sub(1));
    let (blocks, rest) = buf.get(at..until).unwrap_or_default().as_chunks();
    let mut count = 0;
    for block in blocks {
        if let plain @ ..8 = plain_in_block(*block) {
            return count + plain;
        }
        count += 8;
    }
    count + rest.iter().position(|byte| !matches!(byte, 0x20..=0x7e | 0x80..)).unwrap_or(rest.len())
}

/// How many bytes of a block may stand within any line, up to the first that may not. All eight are looked at at once: a byte of the
/// result has its highest bit set if it is below 0x20 or is 0x7f. What a subtraction borrows can mark no byte before the first.
fn plain_in_block(block: [u8; 8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let word = u64::from_le_bytes(block);
    let is_del = word ^ (ONES * 0x7f);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let del = is_del.wrapping_sub(ONES) & !is_del;
    (((control | del) & (ONES * 0x80)).trailing_zeros() / 8) as usize
}

/// Whether `at` is in the first line, not counting an empty line before it.
fn in_start_line(buf: &[u8], at: usize) -> bool {
    !buf.iter().skip(2).take(at.saturating_sub(2)).any(|&byte| byte == b'\n')
}

/// Whether a line starts at `at`. Every LF before `at` is known to end a line.
fn starts_line(buf: &[u8], at: usize) -> bool {
    at.checked_sub(1).is_none_or(|before| buf[before] == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_may_not_stand_in_a_line_is_found_whatever_stands_beside_it() {
        let is_plain = |byte: &u8| matches!(byte, 0x20..=0x7e | 0x80..);
        // The bytes at which one of the subtractions borrows, or nearly does.
        for beside in [b'a', 0, 0x1f, 0x20, 0x21, 0x7e, 0x7f, 0x80, 0xa0, 0xff] {
            for byte in 0..=u8::MAX {
                for at in 0..8 {
                    for others in at..8 {
                        let mut block = [b'a'; 8];
                        block[others..].fill(beside);
                        block[at] = byte;
                        let first = block.iter().position(|byte| !is_plain(byte)).unwrap_or(8);
                        assert_eq!(plain_in_block(block), first, "{block:x?}");
                    }
                }
            }
        }
    }
}
