//! Appends entries to a file as JSON lines, for the binaries.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::entry::Entry;

/// A file of JSON lines. Its clones write to the same file, so that several journals can share it.
#[derive(Clone)]
pub struct JournalFile(Arc<Mutex<dyn Write + Send>>);

impl JournalFile {
    /// Opens the file at `path` to append to it. The path `-` stands for the standard output.
    ///
    /// # Errors
    /// The file can't be opened; the text names it.
    pub fn append_to(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(JournalFile(Arc::new(Mutex::new(io::stdout()))));
        }
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        Ok(JournalFile(Arc::new(Mutex::new(file))))
    }

    /// Appends `entry` as one line. A failure to write is ignored: a full disk must not stop the upstream, and
    /// `GET /journal` still has the entry.
    pub fn append(&self, entry: &Entry) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(file, "{}", entry.to_json());
    }
}
