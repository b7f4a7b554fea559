//! Log files are read a line at a time, in the order of their first lines' times.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value as Json;

use super::file;

/// The most bytes of a line. The proxy's own are shorter: heads are limited, and causes are cut.
const LONGEST: u64 = 1 << 20;
/// Lines that are searched for a first time.
const FIRST_LINES: usize = 1000;
/// Bytes at the end of a file that are searched for its last time.
const LAST: usize = 4 << 20;
/// Files whose times overlap by so much are not of one process. Where a log is rotated, lines of several threads are under way.
const OVERLAP: Duration = Duration::from_secs(5);

/// A place in the logs: the file's number from 1, in the order in which files are read, and the line's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::incident) struct Place {
    /// Which file.
    pub log: usize,
    /// Which line of it, from 1.
    pub line: u64,
}

/// Why a line tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::incident) enum Unread {
    /// It is longer than any line of the proxy.
    TooLong,
    /// It is no UTF-8.
    NoText,
    /// It is no JSON object: of another program, of a log in text form, or cut in the middle.
    NoJson,
    /// It has no time.
    NoTime,
    /// The compressed file breaks off in it, or is damaged there.
    Broken,
    /// It tells no event: a remark, or of another program.
    NoEvent,
    /// Its event is unknown here: of another version.
    UnknownEvent,
    /// Its event lacks fields, or they are not as they should be.
    OtherFields,
}

impl Unread {
    /// What such lines are, for people.
    pub(in crate::incident) const fn in_words(self) -> &'static str {
        match self {
            Unread::TooLong => "longer than a line of the proxy",
            Unread::NoText => "no text",
            Unread::NoJson => "no JSON, such as lines that were cut",
            Unread::NoTime => "without a time",
            Unread::Broken => "at which a compressed file breaks off",
            Unread::NoEvent => "without an event, such as remarks",
            Unread::UnknownEvent => "of an event that this version does not know",
            Unread::OtherFields => "of an event whose fields are not as they should be",
        }
    }
}

/// A line of a log that is an object with a time.
#[derive(Debug)]
pub(in crate::incident) struct LogLine {
    /// Where it stands.
    pub at: Place,
    /// When it was written.
    pub time: SystemTime,
    /// All of it.
    pub json: Json,
}

/// `files` in the order of the times at which they begin; those without any come last.
///
/// # Errors
/// A file can't be read, or not twice; told with its path. Or two tell of the same time, so that they are of two processes.
pub(in crate::incident) fn in_order(files: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    // One by itself is in order, and may be a pipe.
    if let [_] = files {
        return Ok(files.to_vec());
    }
    for path in files {
        if !file::is_kept(path).map_err(|error| told(path, &error))? {
            let why = io::Error::other("it is no file, and of several logs each is read twice");
            return Err(told(path, &why));
        }
    }
    let mut begun = Vec::new();
    for file in files {
        let mut lines = Lines::open(file, 0)?;
        let mut first = None;
        for _ in 0..FIRST_LINES {
            match lines.next_line()? {
                None => break,
                Some(Err(_)) => {}
                Some(Ok(line)) => {
                    first = Some(line.time);
                    break;
                }
            }
        }
        begun.push((first.is_none(), first, file.clone()));
    }
    begun.sort_by_key(|(none, first, _)| (*none, *first));
    for two in begun.windows(2) {
        let [(_, _, one), (_, Some(next), other)] = two else { continue };
        let last = last_time(one)?;
        if let Some(last) = last.filter(|last| *last > *next + OVERLAP) {
            let (one, other) = (one.display(), other.display());
            let [until, from] = [last, *next].map(humantime::format_rfc3339_seconds);
            return Err(io::Error::other(format!(
                "{one} ends at {until}, and {other} begins at {from}: they are of several proxies or processes, or the clock was set back between \
                 them; record the log of each by itself"
            )));
        }
    }
    Ok(begun.into_iter().map(|(_, _, file)| file).collect())
}

/// The last time in the last part of the file at `path`; none where nothing there has one.
fn last_time(path: &Path) -> io::Result<Option<SystemTime>> {
    let end = file::end_of(path, LAST).map_err(|error| told(path, &error))?;
    let mut lines = Lines::of(end, path, 0);
    let mut last = None;
    while let Some(line) = lines.next_line()? {
        last = line.map(|line| line.time).ok().or(last);
    }
    Ok(last)
}

/// The lines of one file.
pub(in crate::incident) struct Lines {
    reader: Box<dyn BufRead>,
    buffer: Vec<u8>,
    at: Place,
    path: PathBuf,
}

impl Lines {
    /// The lines of the file at `path`, which is number `log`.
    ///
    /// # Errors
    /// It can't be opened; told with its path.
    pub(in crate::incident) fn open(path: &Path, log: usize) -> io::Result<Self> {
        Ok(Lines::of(file::open(path).map_err(|error| told(path, &error))?, path, log))
    }

    fn of(reader: Box<dyn BufRead>, path: &Path, log: usize) -> Self {
        Lines { reader, buffer: Vec::new(), at: Place { log, line: 0 }, path: path.to_owned() }
    }

    /// The next line, or why it tells nothing and where it stands; `None` at the end.
    ///
    /// # Errors
    /// The file can't be read on.
    pub(in crate::incident) fn next_line(&mut self) -> io::Result<Option<Result<LogLine, (Place, Unread)>>> {
        self.buffer.clear();
        let read = (&mut self.reader).take(LONGEST).read_until(b'\n', &mut self.buffer);
        let broken = read.as_ref().is_err_and(file::is_broken);
        if !broken && read.map_err(|error| told(&self.path, &error))? == 0 {
            return Ok(None);
        }
        self.at.line += 1;
        if broken {
            // What stands behind can't be found again.
            self.reader = Box::new(io::empty());
            return Ok(Some(Err((self.at, Unread::Broken))));
        }
        if self.buffer.len() as u64 == LONGEST && self.buffer.last() != Some(&b'\n') {
            self.skip().map_err(|error| told(&self.path, &error))?;
            return Ok(Some(Err((self.at, Unread::TooLong))));
        }
        Ok(Some(read_line(&self.buffer, self.at).map_err(|why| (self.at, why))))
    }

    /// Reads to the line's end and keeps nothing.
    fn skip(&mut self) -> io::Result<()> {
        loop {
            let piece = self.reader.fill_buf()?;
            let end = piece.iter().position(|byte| *byte == b'\n');
            let (used, over) = (end.map_or(piece.len(), |end| end + 1), end.is_some() || piece.is_empty());
            self.reader.consume(used);
            if over {
                return Ok(());
            }
        }
    }
}

fn told(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn read_line(bytes: &[u8], at: Place) -> Result<LogLine, Unread> {
    let text = str::from_utf8(bytes).map_err(|_| Unread::NoText)?;
    // What a container or a syslog daemon has written in front of the object.
    let begin = text.find('{').ok_or(Unread::NoJson)?;
    let json: Json = serde_json::from_str(&text[begin..]).map_err(|_| Unread::NoJson)?;
    let time = json.get("timestamp").and_then(Json::as_str).ok_or(Unread::NoTime)?;
    let time = humantime::parse_rfc3339(time).map_err(|_| Unread::NoTime)?;
    Ok(LogLine { at, time, json })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    fn read_all(path: &Path) -> Vec<Result<String, Unread>> {
        let mut lines = Lines::open(path, 1).unwrap();
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            all.push(line.map(|line| line.json["event"].to_string()).map_err(|(_, why)| why));
        }
        all
    }

    #[test]
    fn what_can_be_read_is_and_the_rest_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let good = r#"{"timestamp":"2026-01-01T00:00:00.5Z","event":"drained","reset":0}"#;
        let mut bytes = format!("{good}\n<30>netdrift[1]: {good}\n{}\nplain text\n{{}}\n", &good[..30]).into_bytes();
        bytes.extend_from_slice(b"\xff\xfe\n");
        bytes.extend(std::iter::repeat_n(b'x', 3 << 20));
        bytes.extend_from_slice(format!("\n{}", &good).as_bytes());
        fs::write(&path, bytes).unwrap();
        let event = || Ok("\"drained\"".to_owned());
        let (cut, none) = (Err(Unread::NoJson), Err(Unread::NoTime));
        let wanted = [event(), event(), cut.clone(), cut, none, Err(Unread::NoText), Err(Unread::TooLong), event()];
        assert_eq!(read_all(&path), wanted);
    }

    #[test]
    fn rotated_files_come_in_the_order_of_their_times_and_those_without_come_last() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let line = |day: u32| format!("noise\n{{\"timestamp\":\"2026-01-{day:02}T00:00:00Z\"}}\n");
        let (now, before) = (write("a.log", &line(9)), write("a.log.1", &line(3)));
        let (empty, oldest) = (write("b", ""), write("a.log.2", &line(1)));
        let files = [now.clone(), empty.clone(), before.clone(), oldest.clone()];
        assert_eq!(in_order(&files).unwrap(), [oldest, before, now, empty]);
        let with_none = [files[0].clone(), folder.path().join("none")];
        assert!(in_order(&with_none).unwrap_err().to_string().contains("none: "));
    }

    fn packed(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// `logrotate` compresses all but the newest.
    #[test]
    fn a_log_that_was_compressed_by_gzip_is_read_and_one_that_breaks_off_up_to_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log.2.gz");
        let of = |second: u32| {
            format!("{{\"timestamp\":\"2026-01-01T00:{:02}:{:02}Z\",\"event\":{second}}}\n", second / 60, second % 60)
        };
        let text: String = (0..2000).map(of).collect();
        let bytes = packed(&text);
        // Two one behind the other are one, to gzip.
        fs::write(&path, [bytes.clone(), packed(&of(2000))].concat()).unwrap();
        let lines = read_all(&path);
        assert_eq!((lines.len(), &lines[2000]), (2001, &Ok("2000".to_owned())));
        assert_eq!(last_time(&path).unwrap(), Some(humantime::parse_rfc3339("2026-01-01T00:33:20Z").unwrap()));
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let lines = read_all(&path);
        assert!(lines.len() > 100 && lines.len() < 2000, "{}", lines.len());
        assert_eq!(lines.last(), Some(&Err(Unread::Broken)));
        assert!(last_time(&path).unwrap().is_some());
        fs::write(&path, b"\xfd7zXZ\x00 and so on").unwrap();
        let refused = Lines::open(&path, 1).map(|_| ()).unwrap_err().to_string();
        assert!(refused.ends_with("a.log.2.gz: it is compressed: unpack it by `unxz` first"), "{refused}");
    }

    #[test]
    fn of_several_logs_none_is_a_pipe_since_each_is_read_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "").unwrap();
        let null = PathBuf::from("/dev/null");
        let refused = in_order(&[path, null.clone()]).unwrap_err().to_string();
        assert_eq!(refused, "/dev/null: it is no file, and of several logs each is read twice");
        assert_eq!(in_order(std::slice::from_ref(&null)).unwrap(), [null]);
    }
}
