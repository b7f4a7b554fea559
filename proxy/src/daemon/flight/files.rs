//! The files of records that are written to a directory: a bounded number of them, for the proxy's own user alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::triggers::Why;

/// Files that stay for each reason, the newest ones: what somebody asks for by a signal pushes no evidence out.
const MOST_FILES: usize = 16;

/// What their names begin and end with.
const BEGIN: &str = "flight-";
const END: &str = ".jsonl";

/// Where they are.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
}

impl Files {
    /// Those in `directory`.
    ///
    /// # Errors
    /// It is none; told in a sentence.
    pub(super) fn new(directory: PathBuf) -> Result<Self, String> {
        match fs::metadata(&directory) {
            Ok(found) if found.is_dir() => Ok(Files { directory }),
            Ok(_) => Err(format!("flight_recorder.directory: {}: it is no directory", directory.display())),
            Err(error) => Err(format!("flight_recorder.directory: {}: {error}", directory.display())),
        }
    }

    /// Writes a record, and removes the oldest ones with the same reason where there are too many.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn write(&self, why: Why, at: SystemTime, text: &[u8]) -> io::Result<PathBuf> {
        let time = humantime::format_rfc3339_micros(at).to_string().replace(':', "");
        let path = self.directory.join(format!("{BEGIN}{time}-{}{END}", why.as_str()));
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?;
        if let Err(error) = file.write_all(text) {
            // Half a record looks like a whole one. Why it came to be half is what is told.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        self.remove_old(why, &path)?;
        Ok(path)
    }

    /// Removes the oldest ones, but never `written`: where the clock was set back, it looks like one of those.
    fn remove_old(&self, why: Why, written: &Path) -> io::Result<()> {
        let end = format!("-{}{END}", why.as_str());
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            names.extend(
                name.to_str().filter(|name| name.starts_with(BEGIN) && name.ends_with(&end)).map(str::to_owned),
            );
        }
        // Their names begin with the time.
        names.sort_unstable();
        let old = names.len().saturating_sub(MOST_FILES);
        let paths = names.iter().map(|name| self.directory.join(name)).filter(|path| path != written);
        paths.take(old).try_for_each(fs::remove_file)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_record_is_for_its_owner_and_the_newest_stay() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("other.jsonl"), "").unwrap();
        let files = Files::new(folder.path().to_owned()).unwrap();
        let write = |second| files.write(Why::Ejection, UNIX_EPOCH + Duration::from_secs(second), b"{}\n").unwrap();
        let first = write(1);
        assert_eq!(first, folder.path().join("flight-1970-01-01T000001.000000Z-ejection.jsonl"));
        assert_eq!(fs::metadata(&first).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&first).unwrap(), b"{}\n");
        let paths: Vec<_> = (2..=MOST_FILES as u64).map(write).collect();
        assert!(first.exists());
        let signalled = files.write(Why::Signal, UNIX_EPOCH + Duration::from_secs(99), b"{}\n").unwrap();
        assert!(first.exists() && signalled.exists(), "each reason has room of its own");
        let last = write(100);
        assert!(!first.exists() && paths.iter().all(|path| path.exists()) && last.exists());
        assert!(folder.path().join("other.jsonl").exists(), "what is not ours is left alone");
        assert!(files.write(Why::Ejection, UNIX_EPOCH + Duration::from_secs(100), b"").is_err(), "none is overwritten");
    }

    #[test]
    fn a_record_stays_that_is_written_by_a_clock_that_was_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path().to_owned()).unwrap();
        let write = |second| files.write(Why::Ejection, UNIX_EPOCH + Duration::from_secs(second), b"{}\n").unwrap();
        let before: Vec<_> = (100..100 + MOST_FILES as u64).map(write).collect();
        let (first, second) = (write(1), write(2));
        assert!(second.exists() && before[1..].iter().all(|path| path.exists()));
        assert!(!first.exists() && !before[0].exists());
    }

    #[test]
    fn what_is_no_directory_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Files::new(file).unwrap_err().contains("no directory"));
        assert!(Files::new(folder.path().join("missing")).unwrap_err().contains("missing: No such file"));
    }
}
