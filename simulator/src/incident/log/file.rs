//! A log file is read as it is, or unpacked where it was rotated and compressed by gzip.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

/// Bytes that are read at once.
const AT_ONCE: usize = 1 << 16;
/// How compressed files begin that are not unpacked here, and what unpacks them.
const PACKED: [(&[u8], &str); 3] = [(b"\x28\xb5\x2f\xfd", "zstd -d"), (b"\xfd7zXZ\x00", "unxz"), (b"BZh", "bunzip2")];
/// How a file begins that gzip has made.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// The text of the file at `path`.
///
/// # Errors
/// It can't be read, or is compressed in another way; told without its path.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::with_capacity(AT_ONCE, File::open(path)?);
    let begin = file.fill_buf()?;
    if begin.starts_with(GZIP) {
        return Ok(Box::new(BufReader::with_capacity(AT_ONCE, MultiGzDecoder::new(file))));
    }
    match PACKED.iter().find(|(magic, _)| begin.starts_with(magic)) {
        Some((_, tool)) => Err(io::Error::other(format!("it is compressed: unpack it by `{tool}` first"))),
        None => Ok(Box::new(file)),
    }
}

/// Whether the file at `path` can be read more than once, unlike a pipe.
pub(super) fn is_kept(path: &Path) -> io::Result<bool> {
    Ok(std::fs::metadata(path)?.is_file())
}

/// The last `most` bytes of the text of the file at `path`, or some more.
///
/// # Errors
/// It can't be read; told without its path.
pub(super) fn end_of(path: &Path, most: usize) -> io::Result<Box<dyn BufRead>> {
    let mut file = File::open(path)?;
    let mut begin = [0; GZIP.len()];
    let packed = file.read(&mut begin)? == GZIP.len() && begin == GZIP;
    if !packed {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(most as u64)))?;
        return Ok(Box::new(BufReader::with_capacity(AT_ONCE, file)));
    }
    // Nothing tells where the end of what is compressed begins, so all of it is read and the end is kept.
    let (mut text, mut end) = (open(path)?, Vec::new());
    loop {
        let read = (&mut text).take(most as u64).read_to_end(&mut end);
        end.drain(..end.len().saturating_sub(most));
        match read {
            Err(error) if !is_broken(&error) => return Err(error),
            Ok(1..) => {}
            _ => return Ok(Box::new(Cursor::new(end))),
        }
    }
}

/// Whether `error` says that what is compressed breaks off or is damaged.
pub(super) fn is_broken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
}
