//! Reads a configuration file and the files that it refers to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

use super::parse::{parse, read_listen};
use super::text::interpolate::{Lookup, System, read_at_most};
use super::text::json;
use super::text::problem::Problems;
use super::{Config, raw};

/// What came of reading a configuration file.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration, or everything that is wrong with it, an unreadable file among it.
    pub outcome: Result<Config, Problems>,
    /// What was read to that end, also where it failed: a change of any of these may bring another outcome.
    pub files: Files,
}

/// The files that a configuration was read from, itself and every one it refers to (`${file:…}`, `ca_file`), and a
/// digest of the bytes that were read. Two that are equal saw the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Files {
    /// Where they are, for watching them.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.0.keys().cloned().collect()
    }

    fn note(&mut self, path: PathBuf, bytes: &io::Result<Vec<u8>>) {
        let digest = bytes.as_ref().ok().map(|bytes| digest(&SHA256, bytes).as_ref().to_vec());
        // Of a file that is named twice and changes between the two readings the first is kept, so that the next look
        // at it finds a change.
        self.0.entry(path).or_insert(digest);
    }
}

/// Reads the configuration file at `path`, with the environment and the files it refers to.
pub fn load(path: &Path) -> Loaded {
    let name = path.display().to_string();
    let bytes = read_at_most(path, json::MAX_BYTES);
    let noting = Noting { system: System::beside(path), files: RefCell::default() };
    noting.files.borrow_mut().note(path.to_owned(), &bytes);
    let outcome = match bytes {
        Ok(bytes) => parse(&name, &bytes, &noting),
        Err(err) => {
            let mut problems = Problems::in_file(&name);
            problems.add("", format!("can't read the file: {err}"));
            Err(problems)
        }
    };
    Loaded { outcome, files: noting.files.into_inner() }
}

/// Where the proxy that runs with the file at `path` listens, whatever else is wrong with the file by now: a running
/// proxy keeps the configuration it has, so asking after it must not depend on the rest.
///
/// # Errors
/// A sentence that says why the file does not tell.
pub fn listen_address(path: &Path) -> Result<SocketAddr, String> {
    if let Ok(config) = load(path).outcome {
        return Ok(config.server.listen);
    }
    let wrong = |text: String| format!("{}: {text}", path.display());
    let bytes = read_at_most(path, json::MAX_BYTES).map_err(|error| wrong(format!("can't read the file: {error}")))?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let json: serde_json::Value = serde_json::from_slice(text).map_err(|error| wrong(format!("not JSON: {error}")))?;
    let default = raw::Server::default().listen_address;
    let listen = json.pointer("/server/listen_address").map_or(Some(default.as_str()), |value| value.as_str());
    let listen = listen.ok_or_else(|| wrong("server.listen_address: must be a string".into()))?;
    read_listen(listen).map_err(|what| wrong(format!("server.listen_address: {what}")))
}

/// The system, and what was read from it.
struct Noting {
    system: System,
    files: RefCell<Files>,
}

impl Lookup for Noting {
    fn env(&self, name: &str) -> Option<String> {
        self.system.env(name)
    }

    fn file(&self, path: &str) -> io::Result<Vec<u8>> {
        let bytes = self.system.file(path);
        self.files.borrow_mut().note(self.system.resolve(path), &bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A folder with a configuration that names a file beside it.
    fn folder() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (file, secret) = (folder.path().join("proxy.json"), folder.path().join("password"));
        let config = r#"{ "upstream_proxies": [{ "url": "http://u:${file:password}@a:1" }] }"#;
        fs::write(&file, config).unwrap();
        fs::write(&secret, "one").unwrap();
        (folder, file, secret)
    }

    #[test]
    fn the_same_bytes_are_equal_and_others_are_not() {
        let (_folder, file, secret) = folder();
        let first = load(&file);
        assert!(first.outcome.is_ok());
        assert_eq!(first.files.paths(), [secret.clone(), file.clone()]);
        assert_eq!(load(&file).files, first.files);
        fs::write(&secret, "two").unwrap();
        assert_ne!(load(&file).files, first.files);
        fs::write(&secret, "one").unwrap();
        assert_eq!(load(&file).files, first.files);
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text + "\n").unwrap();
        assert_ne!(load(&file).files, first.files);
    }

    #[test]
    fn a_failed_reading_tells_what_to_watch() {
        let (_folder, file, secret) = folder();
        let good = load(&file).files;
        fs::remove_file(&secret).unwrap();
        let Loaded { outcome, files } = load(&file);
        assert!(outcome.unwrap_err().to_string().contains("password"));
        assert_eq!(files.paths(), good.paths());
        assert_ne!(files, good);
        fs::remove_file(&file).unwrap();
        let Loaded { outcome, files } = load(&file);
        assert!(outcome.unwrap_err().to_string().contains("can't read the file"));
        assert_eq!(files.paths(), [file]);
    }

    #[test]
    fn no_secret_is_kept() {
        let (_folder, file, secret) = folder();
        fs::write(secret, "hunter2").unwrap();
        assert!(!format!("{:?}", load(&file)).contains("hunter2"));
    }
}
