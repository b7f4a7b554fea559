//! Holds the field lines of a head, in order.

use std::fmt;

use bytes::BytesMut;

use super::is_token;

/// Fields that end at the next hop whether or not Connection names them (RFC 9110 sections 7.6.1, 11.7).
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "proxy-connection",
    "keep-alive",
    "te",
    "upgrade",
    "proxy-authorization",
    "proxy-authenticate",
    "proxy-authentication-info",
];

/// Fields that Connection can't remove from a message, because they frame it, route it, or stop loops. A sender must not name
/// them there (RFC 9110 section 7.6.1), and one that does wants to hide them from the next hop.
const NOT_FOR_CONNECTION: [&str; 7] =
    ["host", "content-length", "transfer-encoding", "trailer", "via", "max-forwards", "cache-control"];

/// The field lines of a head in order, as names and values without the white space around them.
///
/// Names are compared without regard to case, and are kept as they were written. Two are equal if their lines are equal, in order.
#[derive(Clone, Default)]
pub struct Fields {
    /// All names and values, one after the other, without separators.
    text: Vec<u8>,
    lines: Vec<Line>,
}

/// The place of a line in [`Fields::text`].
#[derive(Clone, Copy)]
struct Line {
    start: usize,
    colon: usize,
    end: usize,
}

/// Names of fields.
#[derive(Clone, Debug, Default)]
pub struct Named(Vec<Vec<u8>>);

impl Named {
    /// Whether `name` is among them, without regard to case.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.0.iter().any(|named| named.eq_ignore_ascii_case(name))
    }
}

/// A field that may occur only once occurs more often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate;

impl Fields {
    /// Makes an empty list.
    pub fn new() -> Self {
        Fields::default()
    }

    /// Makes an empty list with room for `lines` lines that have `bytes` bytes together.
    pub fn with_capacity(bytes: usize, lines: usize) -> Self {
        Fields { text: Vec::with_capacity(bytes), lines: Vec::with_capacity(lines) }
    }

    /// Every line as name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        // Names are added as `str`, so the fallback is never used.
        self.lines().map(|(name, value)| (str::from_utf8(name).unwrap_or_default(), value))
    }

    /// As [`Fields::iter`], for readers that need no `str`: whether a name is one would be looked at each time.
    fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|line| (&self.text[line.start..line.colon], &self.text[line.colon..line.end]))
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The values of every line called `name`.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.lines().filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The value of the one line called `name`, if there is one.
    ///
    /// # Errors
    /// There is more than one.
    pub fn get_one(&self, name: &str) -> Result<Option<&[u8]>, Duplicate> {
        let mut values = self.get_all(name);
        let first = values.next();
        if values.next().is_some() { Err(Duplicate) } else { Ok(first) }
    }

    /// Whether there is a line called `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.get_all(name).next().is_some()
    }

    /// The members of the comma-separated lists in the lines called `name`.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.get_all(name).flat_map(members)
    }

    /// Whether `token` is among [`Fields::list`], without regard to case.
    pub fn contains_token(&self, name: &str, token: &str) -> bool {
        self.list(name).any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Removes every line called `name`.
    pub fn remove(&mut self, name: &str) {
        self.retain(|n| !n.eq_ignore_ascii_case(name.as_bytes()));
    }

    /// Keeps the lines whose name passes.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        let text = &self.text;
        self.lines.retain(|line| keep(&text[line.start..line.colon]));
    }

    /// Appends a line. `name` is a token. The value loses the white space around it, and each control byte but HTAB
    /// becomes a space (RFC 9110 section 5.5), so that no value can begin another line.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        debug_assert!(is_token(name.as_bytes()), "a field name is a token");
        let is_blank = |byte: u8| byte == b' ' || byte.is_ascii_control();
        let value = value.as_ref();
        let from = value.iter().position(|&b| !is_blank(b)).unwrap_or(value.len());
        let to = value.iter().rposition(|&b| !is_blank(b)).map_or(from, |last| last + 1);
        let start = self.text.len();
        self.text.extend_from_slice(name.as_bytes());
        let colon = self.text.len();
        let value = &value[from..to];
        self.text.extend_from_slice(value);
        if has_control(value) {
            for byte in &mut self.text[colon..] {
                if is_control(*byte) {
                    *byte = b' ';
                }
            }
        }
        self.lines.push(Line { start, colon, end: self.text.len() });
    }

    /// Removes the fields that end at this hop: those that Connection names, and those that are about one connection by
    /// definition (Connection, Proxy-Connection, Keep-Alive, TE, Upgrade, Proxy-Authorization, Proxy-Authenticate,
    /// Proxy-Authentication-Info).
    ///
    /// Content-Length, Transfer-Encoding and Trailer stay, because the body is passed on in the framing in which it came. If
    /// Connection names a field that frames, routes or guards the message (Host, Via, …), that name is ignored. A caller
    /// that passes an upgrade on reads Upgrade first and adds it again afterwards.
    pub fn strip_hop_by_hop(&mut self) {
        let named = self.named_by_connection();
        self.retain(|name| !ends_at_this_hop(name, &named));
    }

    /// Appends every line that [`Fields::strip_hop_by_hop`] would leave and that `is_left_out` does not want left out.
    pub(crate) fn write_end_to_end_to(&self, out: &mut BytesMut, mut is_left_out: impl FnMut(&[u8]) -> bool) {
        let named = self.named_by_connection();
        out.reserve(self.written_len());
        for (name, value) in self.lines() {
            if !ends_at_this_hop(name, &named) && !is_left_out(name) {
                write_line(name, value, out);
            }
        }
    }

    /// The fields that Connection removes from the message, in its head and in its trailers (RFC 9110 section 7.6.1).
    pub fn named_by_connection(&self) -> Named {
        let is_kept =
            |member: &&[u8]| NOT_FOR_CONNECTION.iter().any(|kept| member.eq_ignore_ascii_case(kept.as_bytes()));
        Named(self.list("connection").filter(|member| !is_kept(member)).map(<[u8]>::to_vec).collect())
    }

    /// Appends every line and the empty line that ends them.
    pub fn write_to(&self, out: &mut BytesMut) {
        self.write_lines_to(out);
        out.extend_from_slice(b"\r\n");
    }

    /// Appends every line.
    pub(crate) fn write_lines_to(&self, out: &mut BytesMut) {
        out.reserve(self.written_len());
        for (name, value) in self.lines() {
            write_line(name, value, out);
        }
    }

    /// The most bytes that [`Fields::write_to`] appends.
    pub(crate) fn written_len(&self) -> usize {
        // Each line with `: ` and CRLF.
        self.text.len() + 4 * self.lines.len() + 2
    }
}

/// Appends a line. The value has no control byte but HTAB.
pub(crate) fn write_line(name: &[u8], value: &[u8], out: &mut BytesMut) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

fn ends_at_this_hop(name: &[u8], named: &Named) -> bool {
    HOP_BY_HOP.iter().any(|hop| name.eq_ignore_ascii_case(hop.as_bytes())) || named.contains(name)
}

/// Whether a byte is a control byte but not HTAB.
pub(super) fn is_control(byte: u8) -> bool {
    (byte != b'\t') & byte.is_ascii_control()
}

/// Whether one is in `bytes`. No byte is skipped, so that several are looked at at once.
fn has_control(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |found, &byte| found | is_control(byte))
}

/// The members of a comma-separated list without the white space around them; empty ones are left out (RFC 9110
/// section 5.6.1).
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

/// Shows names alone, because a value may be a credential.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}
