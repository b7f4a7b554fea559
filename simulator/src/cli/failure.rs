//! A command that can't do its work ends with an exit code and a text.

use std::io;
use std::path::Path;

/// Exit codes of sysexits.h: the command line is wrong, the input is wrong, a file can't be written.
pub(crate) const USAGE: u8 = 64;
pub(crate) const DATA: u8 = 65;
pub(crate) const IO: u8 = 74;
/// The exit code of sysexits.h for an error of the software: a task of a run never yields, so that the process had to end.
pub(crate) const STALLED: u8 = 70;

/// Why a command could not do its work.
pub(crate) struct Failed {
    pub(crate) code: u8,
    pub(crate) text: String,
}

/// The file at `path` can't be written.
pub(crate) fn unwritten(path: &Path, error: &io::Error) -> Failed {
    Failed { code: IO, text: format!("{}: {error}\n", path.display()) }
}
