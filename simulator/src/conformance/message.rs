//! Messages as they came: the checks look at bytes, and read no more of them than they need.

/// A message of HTTP/1.1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// The head with the empty line behind it, as text.
    pub(super) head: String,
    /// What came behind the head.
    pub(super) body: Vec<u8>,
}

impl Message {
    /// The first message in `bytes`, with all that comes behind its head; none if there is no whole head.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let end = head_end(bytes)?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        Some(Message { head, body: bytes[end..].to_vec() })
    }

    /// The start line.
    pub(super) fn start(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The status, if it is a reply.
    pub(super) fn status(&self) -> Option<u16> {
        self.start().split(' ').nth(1)?.parse().ok()
    }

    /// Whether it asks for a tunnel.
    pub(super) fn is_connect(&self) -> bool {
        self.start().starts_with("CONNECT ")
    }

    /// Whether it is a reply behind which no other comes.
    pub(super) fn is_final(&self) -> bool {
        self.status().is_some_and(|status| status >= 200)
    }

    /// The values of the fields called `name`, in their order.
    pub(super) fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(own, _)| own.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// Whether it has a field called `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }

    /// Whether its body is in chunks.
    pub(super) fn is_chunked(&self) -> bool {
        self.values("transfer-encoding").iter().any(|value| value.to_ascii_lowercase().contains("chunked"))
    }

    /// Whether `body` holds all of its body, by its own head.
    pub(super) fn is_whole(&self) -> bool {
        if self.is_connect() {
            return true;
        }
        if self.is_chunked() {
            return self.body.starts_with(b"0\r\n\r\n") || contains(&self.body, b"\r\n0\r\n");
        }
        let length = self.values("content-length").first().and_then(|text| text.parse::<usize>().ok());
        self.body.len() >= length.unwrap_or(0)
    }
}

/// The place behind the first empty line.
pub(super) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Whether `part` stands somewhere in `bytes`.
pub(super) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The replies in what a client got: interim ones, and the final one with all that came behind it.
pub(super) fn replies(mut bytes: &[u8]) -> Vec<Message> {
    let mut all = Vec::new();
    while let Some(message) = Message::read(bytes) {
        let interim = message.status().is_some_and(|status| (100..200).contains(&status) && status != 101);
        if !interim {
            all.push(message);
            break;
        }
        bytes = &bytes[message.head.len()..];
        all.push(Message { head: message.head, body: Vec::new() });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_came() {
        let bytes = b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nX-A: 1\r\nx-a : 2\r\nContent-Length: 3\r\n\r\nabc";
        let all = replies(bytes);
        assert_eq!(all.iter().map(Message::status).collect::<Vec<_>>(), [Some(103), Some(200)]);
        assert_eq!((all[1].values("x-a"), all[1].body.as_slice()), (vec!["1", "2"], &b"abc"[..]));
        assert!(all[1].is_whole() && !all[1].is_chunked());
        assert_eq!(Message::read(b"GET / HTTP/1.1\r\n"), None);
        let chunked = |body: &str| {
            Message::read(format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}").as_bytes()).unwrap()
        };
        assert!(
            chunked("0\r\n\r\n").is_whole()
                && chunked("1\r\na\r\n0\r\n\r\n").is_whole()
                && !chunked("1\r\na\r\n").is_whole()
        );
    }
}
