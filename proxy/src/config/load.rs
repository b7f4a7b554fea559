//! Reads a configuration file and the files that it refers to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

use super::parse::parse;
use super::text::interpolate::{Lookup, System, interpolate, read_at_most};
use super::text::json;
use super::text::problem::Problems;
use super::{Config, ProcessFile, control_socket_path};

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

/// Where the control socket is of the proxy that runs with the file at `path`, whatever else is wrong with the file by
/// now: of all its references only those in these two fields are looked up, since the command that asks has not the
/// proxy's environment.
///
/// # Errors
/// A sentence that says why the file does not tell.
pub fn control_socket(path: &Path) -> Result<PathBuf, String> {
    let wrong = |text: String| format!("{}: {text}; --control-socket names it on the command line", path.display());
    let bytes = read_at_most(path, json::MAX_BYTES).map_err(|error| wrong(format!("can't read the file: {error}")))?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let json: serde_json::Value = serde_json::from_slice(text).map_err(|error| wrong(format!("not JSON: {error}")))?;
    let system = System::beside(path);
    let field = |name: &str| -> Result<ProcessFile, String> {
        let Some(value) = json.pointer(&format!("/server/{name}")) else { return Ok(ProcessFile::Default) };
        let text = value.as_str().ok_or_else(|| wrong(format!("server.{name}: must be a string")))?;
        let text = interpolate(text, &system).map_err(|what| wrong(format!("server.{name}: {what}")))?;
        Ok(ProcessFile::read(Some(text)))
    };
    let control_socket = field("control_socket")?;
    // It says where the default is, and nothing else.
    let pid_file = if control_socket == ProcessFile::Default { field("pid_file")? } else { ProcessFile::Off };
    control_socket_path(&control_socket, &pid_file)
        .ok_or_else(|| wrong("server.control_socket is off, so the running proxy can't be asked".into()))
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
    fn the_control_socket_is_found_whatever_else_the_file_says() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proxy.json");
        let found = |text: &str| {
            fs::write(&file, text).unwrap();
            control_socket(&file)
        };
        let path = |text: &str| Ok(PathBuf::from(text));
        assert_eq!(found("{}"), path("proxy.sock"));
        assert_eq!(found(r#"{ "server": { "pid_file": "/run/x/one.pid" } }"#), path("/run/x/one.sock"));
        assert_eq!(found(r#"{ "server": { "pid_file": "" } }"#), path("proxy.sock"));
        let broken = r#""server": { "listen_address": "${env:NOT_SET_HERE}", "control_socket": "/run/c.sock" }"#;
        assert_eq!(found(&format!(r#"{{ "upstream_proxies": 1, {broken} }}"#)), path("/run/c.sock"));
        fs::write(folder.path().join("place"), "/run/of/file").unwrap();
        assert_eq!(found(r#"{ "server": { "control_socket": "${file:place}.sock" } }"#), path("/run/of/file.sock"));
        // The default beside a PID file that can't be known is not known either.
        for (text, what) in [
            ("{", "not JSON"),
            (r#"{ "server": { "control_socket": "" } }"#, "is off"),
            (r#"{ "server": { "control_socket": 1 } }"#, "must be a string"),
            (r#"{ "server": { "pid_file": "${env:NOT_SET_HERE}" } }"#, "NOT_SET_HERE is not set"),
        ] {
            let error = found(text).unwrap_err();
            assert!(error.contains(what) && error.contains("--control-socket"), "{text}: {error}");
        }
    }

    #[test]
    fn no_secret_is_kept() {
        let (_folder, file, secret) = folder();
        fs::write(secret, "hunter2").unwrap();
        assert!(!format!("{:?}", load(&file)).contains("hunter2"));
    }
}
