//! The trace of a run is everything that was witnessed, in order; its digest tells two runs apart.

use std::fmt;
use std::io;
use std::time::Duration;

use serde::Serialize;

use super::event::What;
use crate::scenario::HostName;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Virtual time since the start, in microseconds.
    pub at_us: u64,
    /// The host on which it happened.
    pub host: HostName,
    /// The event.
    #[serde(flatten)]
    pub what: What,
}

impl Line {
    /// Virtual time since the start.
    pub fn at(&self) -> Duration {
        Duration::from_micros(self.at_us)
    }

    /// As one line of JSON, without the line's end.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain strings and numbers always serialise")
    }
}

/// FNV-1a with 64 bits over a trace's lines. Prints as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// Lines are digested while they are serialised, so that no text is kept of them.
impl io::Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Everything that was witnessed in a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// In the order in which things happened.
    pub lines: Vec<Line>,
}

impl Trace {
    /// The digest of all lines. Two runs with equal lines have the same digest; others almost surely have not.
    pub fn digest(&self) -> Digest {
        let mut digest = Digest(0xcbf2_9ce4_8422_2325);
        for line in &self.lines {
            serde_json::to_writer(&mut digest, line).expect("plain strings and numbers always serialise");
            digest.add(b"\n");
        }
        digest
    }
}
