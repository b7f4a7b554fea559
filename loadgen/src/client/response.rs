//! Reads HTTP/1.1 responses off any byte stream, as strictly as RFC 9112 asks of a client.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The largest response head that is read.
const MOST_HEAD: usize = 64 * 1024;

/// The most header fields of a response.
const MOST_FIELDS: usize = 100;

/// The longest line of a chunk's size, and of a trailer.
const MOST_LINE: usize = 4096;

/// A stream, with the bytes that were read from it and belong to whoever reads next.
pub(crate) struct BufferedStream<S> {
    stream: S,
    ahead: Vec<u8>,
    taken: usize,
}

/// A response's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    /// The status.
    pub(crate) status: u16,
    /// Whether it is HTTP/1.0.
    pub(crate) old: bool,
    /// Names in small letters, and values, in order.
    pub(crate) fields: Vec<(String, String)>,
}

/// How the end of a body is found (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// It has that many bytes.
    Bytes(u64),
    /// It comes in chunks.
    Chunked,
    /// It ends with the connection.
    ToEnd,
}

impl ResponseHead {
    /// The value of the first field of that name, which has to be in small letters.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Says how the end of its body is found (RFC 9112 section 6.3).
    ///
    /// # Errors
    /// It can be read two ways.
    pub(crate) fn length(&self) -> io::Result<BodyLength> {
        if matches!(self.status, 100..=199 | 204 | 304) {
            return Ok(BodyLength::Bytes(0));
        }
        let values = |name| self.fields.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str());
        let codings: Vec<_> = values("transfer-encoding").collect();
        let lengths: Vec<_> = values("content-length").collect();
        match (codings.as_slice(), lengths.as_slice()) {
            ([], []) => Ok(BodyLength::ToEnd),
            ([coding], []) if coding.eq_ignore_ascii_case("chunked") && !self.old => Ok(BodyLength::Chunked),
            ([], [length]) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
                length.parse().map(BodyLength::Bytes).map_err(|_| malformed("an absurd Content-Length"))
            }
            _ => Err(malformed("its length can be read two ways")),
        }
    }

    /// Whether another request may follow on the connection, once the body is over.
    pub(crate) fn keeps_alive(&self) -> bool {
        let connection = self.field("connection").unwrap_or_default().to_ascii_lowercase();
        let says = |word| connection.split(',').any(|one| one.trim() == word);
        if self.old { says("keep-alive") } else { !says("close") }
    }
}

/// A body while it is read.
#[derive(Debug)]
pub(crate) struct BodyReader {
    state: State,
    trailers: Vec<(String, String)>,
}

#[derive(Debug)]
enum State {
    Left(u64),
    ToEnd,
    Size,
    Chunk(u64),
    Over,
}

impl BodyReader {
    /// Begins a body of that length.
    pub(crate) fn new(length: BodyLength) -> Self {
        let state = match length {
            BodyLength::Bytes(0) => State::Over,
            BodyLength::Bytes(bytes) => State::Left(bytes),
            BodyLength::Chunked => State::Size,
            BodyLength::ToEnd => State::ToEnd,
        };
        BodyReader { state, trailers: Vec::new() }
    }

    /// The trailers behind a body in chunks that is over: names in small letters, and values, in order.
    pub(crate) fn trailers(&self) -> &[(String, String)] {
        &self.trailers
    }

    /// Whether all of it was read.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Reads some of it; 0 at its end only.
    ///
    /// # Errors
    /// Those of the stream, `UnexpectedEof` where it ends before the body, `InvalidData` for broken chunks.
    pub(crate) async fn read<S: AsyncRead + Unpin>(
        &mut self,
        wire: &mut BufferedStream<S>,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        loop {
            match self.state {
                State::Over => return Ok(0),
                State::ToEnd => {
                    let count = wire.read(buffer).await?;
                    if count == 0 {
                        self.state = State::Over;
                    }
                    return Ok(count);
                }
                State::Left(left) => {
                    let count = read_of(wire, buffer, left).await?;
                    self.state = if count as u64 == left { State::Over } else { State::Left(left - count as u64) };
                    return Ok(count);
                }
                State::Chunk(left) => {
                    let count = read_of(wire, buffer, left).await?;
                    if count as u64 == left {
                        expect_empty(&wire.line().await?)?;
                        self.state = State::Size;
                    } else {
                        self.state = State::Chunk(left - count as u64);
                    }
                    return Ok(count);
                }
                State::Size => {
                    let size = chunk_size(&wire.line().await?)?;
                    if size > 0 {
                        self.state = State::Chunk(size);
                        continue;
                    }
                    for _ in 0..=MOST_FIELDS {
                        let line = wire.line().await?;
                        if line.is_empty() {
                            self.state = State::Over;
                            return Ok(0);
                        }
                        self.trailers.push(trailer(&line)?);
                    }
                    return Err(malformed("trailers without end"));
                }
            }
        }
    }
}

async fn read_of<S: AsyncRead + Unpin>(
    wire: &mut BufferedStream<S>,
    buffer: &mut [u8],
    left: u64,
) -> io::Result<usize> {
    let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
    match wire.read(&mut buffer[..most]).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        count => Ok(count),
    }
}

fn expect_empty(line: &[u8]) -> io::Result<()> {
    if line.is_empty() { Ok(()) } else { Err(malformed("more bytes than the chunk's size says")) }
}

fn chunk_size(line: &[u8]) -> io::Result<u64> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let text = std::str::from_utf8(digits).unwrap_or_default().trim_end_matches([' ', '\t']);
    if text.is_empty() || text.len() > 15 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(malformed("a chunk's size is no number"));
    }
    u64::from_str_radix(text, 16).map_err(|_| malformed("a chunk's size is no number"))
}

fn trailer(line: &[u8]) -> io::Result<(String, String)> {
    let text = std::str::from_utf8(line).map_err(|_| malformed("a trailer that is no text"))?;
    match text.split_once(':') {
        Some((name, value)) if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
        }
        _ => Err(malformed("a trailer without a name")),
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

impl<S> BufferedStream<S> {
    /// Nothing was read from `stream` yet.
    pub(crate) fn new(stream: S) -> Self {
        BufferedStream { stream, ahead: Vec::new(), taken: 0 }
    }

    /// Bytes that were read and not yet taken.
    pub(crate) fn ahead(&self) -> &[u8] {
        &self.ahead[self.taken..]
    }

    fn used(&mut self, count: usize) {
        self.taken += count;
        if self.taken == self.ahead.len() {
            // Most streams never need it again: a held tunnel keeps no buffer.
            self.ahead = Vec::new();
            self.taken = 0;
        }
    }
}

impl<S: AsyncRead + Unpin> BufferedStream<S> {
    async fn more(&mut self) -> io::Result<()> {
        self.ahead.drain(..self.taken);
        self.taken = 0;
        self.ahead.reserve(1024);
        match self.stream.read_buf(&mut self.ahead).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Reads the head of a final response; 1xx are read over. What follows stays for the next reader. Not cancel safe.
    ///
    /// # Errors
    /// Those of the stream, `UnexpectedEof` where it ends first, `InvalidData` for what is no head.
    pub(crate) async fn head(&mut self) -> io::Result<ResponseHead> {
        loop {
            let head = self.any_head().await?;
            // 101 is final where an upgrade was asked for; who asks for one reads heads one by one.
            if !(100..=199).contains(&head.status) {
                return Ok(head);
            }
        }
    }

    /// Reads one head, interim ones (1xx) included. Not cancel safe.
    ///
    /// # Errors
    /// As of [`BufferedStream::head`].
    pub(crate) async fn any_head(&mut self) -> io::Result<ResponseHead> {
        let mut seen = 0;
        let end = loop {
            let ahead = self.ahead();
            let from = usize::saturating_sub(seen, 3);
            if let Some(at) = ahead[from..].windows(4).position(|four| four == b"\r\n\r\n") {
                break from + at + 4;
            }
            if ahead.len() > MOST_HEAD {
                return Err(malformed("a head without end"));
            }
            // A first byte that no status line has: no need to wait for the rest.
            if !b"HTTP/1.".starts_with(&ahead[..ahead.len().min(7)]) {
                return Err(malformed("no HTTP/1 status line"));
            }
            seen = ahead.len();
            self.more().await?;
        };
        let head = parse(&self.ahead()[..end])?;
        self.used(end);
        Ok(head)
    }

    /// A line without its CRLF.
    async fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.ahead().windows(2).position(|two| two == b"\r\n") {
                let line = self.ahead()[..at].to_vec();
                self.used(at + 2);
                return Ok(line);
            }
            if self.ahead().len() > MOST_LINE {
                return Err(malformed("a line without end"));
            }
            self.more().await?;
        }
    }
}

fn parse(head: &[u8]) -> io::Result<ResponseHead> {
    // httparse takes a bare LF; a CR in front of every LF is ours to ask for.
    if head.iter().enumerate().any(|(at, byte)| *byte == b'\n' && (at == 0 || head[at - 1] != b'\r')) {
        return Err(malformed("a line that ends without CR"));
    }
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let parsed = response.parse(head).map_err(|error| malformed(&error.to_string()))?;
    let (Some(status), Some(version), true) = (response.code, response.version, parsed.is_complete()) else {
        return Err(malformed("half a head"));
    };
    if !(100..=599).contains(&status) {
        return Err(malformed("a status outside 100 to 599"));
    }
    let own = |field: &httparse::Header<'_>| {
        (field.name.to_ascii_lowercase(), String::from_utf8_lossy(field.value).trim().to_owned())
    };
    Ok(ResponseHead { status, old: version == 0, fields: response.headers.iter().map(own).collect() })
}

impl<S: AsyncRead + Unpin> AsyncRead for BufferedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = self.ahead().len().min(buffer.remaining());
        if count > 0 {
            buffer.put_slice(&self.ahead()[..count]);
            self.used(count);
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BufferedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    /// What a client makes of `bytes`, sent one by one and then ended.
    async fn read(bytes: &[u8]) -> io::Result<(ResponseHead, Vec<u8>)> {
        let (client, mut server) = tokio::io::duplex(1);
        let bytes = bytes.to_vec();
        let send = async move {
            let _ = server.write_all(&bytes).await;
        };
        let receive = async {
            let mut wire = BufferedStream::new(client);
            let head = wire.head().await?;
            let (mut body, mut all, mut buffer) = (BodyReader::new(head.length()?), Vec::new(), [0; 3]);
            loop {
                match body.read(&mut wire, &mut buffer).await? {
                    0 => return Ok((head, all)),
                    count => all.extend(&buffer[..count]),
                }
            }
        };
        tokio::join!(receive, send).0
    }

    #[tokio::test]
    async fn each_framing_is_read_to_its_end() {
        for (text, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nhel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n",
                "hello",
            ),
            ("HTTP/1.0 200 OK\r\n\r\nhello", "hello"),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", ""),
            ("HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "x"),
        ] {
            assert_eq!(read(text.as_bytes()).await.unwrap().1, body.as_bytes(), "{text}");
        }
    }

    #[tokio::test]
    async fn what_is_not_http_is_refused() {
        for text in [
            "HTTP/1.1 200 OK\nContent-Length: 1\n\n\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nhel\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhel\r\n0\r\n\r\n",
            "HTTP/9.9 200 OK\r\n\r\n",
            "HTTP/1.1 999 What\r\n\r\n",
            "SSH-2.0-hello",
        ] {
            assert_eq!(read(text.as_bytes()).await.unwrap_err().kind(), ErrorKind::InvalidData, "{text}");
        }
    }

    #[tokio::test]
    async fn an_early_end_is_told_from_a_right_one() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            "HTTP/1.1 200 OK\r\nContent-Le",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
        ] {
            assert_eq!(read(text.as_bytes()).await.unwrap_err().kind(), ErrorKind::UnexpectedEof, "{text}");
        }
    }

    #[tokio::test]
    async fn bytes_behind_the_head_stay_for_the_next_reader() {
        let (client, mut server) = tokio::io::duplex(100);
        server.write_all(b"HTTP/1.1 200 OK\r\n\r\nfirst").await.unwrap();
        let mut wire = BufferedStream::new(client);
        assert_eq!(wire.head().await.unwrap().status, 200);
        let mut buffer = [0; 5];
        wire.read_exact(&mut buffer).await.unwrap();
        assert_eq!((&buffer, wire.ahead().len()), (b"first", 0));
    }

    #[test]
    fn keep_alive_follows_version_and_connection() {
        let head =
            |old, value: &str| ResponseHead { status: 200, old, fields: vec![("connection".into(), value.into())] };
        assert!(head(false, "x").keeps_alive() && !head(false, "x, Close").keeps_alive());
        assert!(head(true, "Keep-Alive").keeps_alive() && !head(true, "").keeps_alive());
    }
}
