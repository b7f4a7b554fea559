//! Resolves `"${env:NAME}"` and `"${file:path}"` in strings, so that no secret has to stand in the configuration.

use std::io;
use std::path::{Path, PathBuf};

/// The outside world that a configuration may refer to. [`System`] is the real one; a simulation brings its own.
pub trait Lookup {
    /// The environment variable `name`.
    fn env(&self, name: &str) -> Option<String>;

    /// The bytes of the file that the configuration calls `path`.
    ///
    /// # Errors
    /// What opening or reading it failed with.
    fn file(&self, path: &str) -> io::Result<Vec<u8>>;
}

/// The largest referenced file read.
const MAX_FILE_BYTES: usize = 1024 * 1024;

/// The environment of this process, and files relative to the configuration's folder.
#[derive(Clone, Debug)]
pub struct System {
    base: PathBuf,
}

impl System {
    /// For the configuration file at `config`.
    pub fn beside(config: &Path) -> Self {
        System { base: config.parent().unwrap_or(Path::new("")).to_owned() }
    }

    /// Where the file is that the configuration calls `path`.
    pub(in crate::config) fn resolve(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }
}

impl Lookup for System {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> io::Result<Vec<u8>> {
        read_at_most(&self.resolve(path), MAX_FILE_BYTES)
    }
}

/// The bytes of the file at `path`, which may turn out to be endless (a device, a pipe).
///
/// # Errors
/// What opening or reading it failed with; `FileTooLarge` beyond `limit` bytes.
pub(in crate::config) fn read_at_most(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    io::Read::read_to_end(&mut io::Read::take(file, limit as u64 + 1), &mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// Replaces every reference in `text`; `$${` stands for a plain `${`.
///
/// # Errors
/// What is wrong, all of it, without any text of a value.
pub(in crate::config) fn interpolate(text: &str, lookup: &dyn Lookup) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut missing = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, reference) = rest.split_at(start);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &reference[2..];
            continue;
        }
        out.push_str(before);
        let end =
            reference.find('}').ok_or("\"${\" has no closing \"}\"; write \"$${\" for the characters themselves")?;
        match look_up(&reference[2..end], lookup) {
            Ok(value) => out.push_str(&value),
            // Said together: whoever sets one variable after another has as many failed starts.
            Err(what) if !missing.contains(&what) => missing.push(what),
            Err(_) => {}
        }
        rest = &reference[end + 1..];
    }
    out.push_str(rest);
    if missing.is_empty() { Ok(out) } else { Err(missing.join("; ")) }
}

fn look_up(reference: &str, lookup: &dyn Lookup) -> Result<String, String> {
    if let Some(name) = reference.strip_prefix("env:") {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err("\"${env:…}\" must name a variable of letters, digits and \"_\"".to_owned());
        }
        return lookup.env(name).ok_or_else(|| format!("the environment variable {name} is not set, or not UTF-8"));
    }
    if let Some(path) = reference.strip_prefix("file:").filter(|path| !path.is_empty() && !path.contains('\0')) {
        let bytes = lookup.file(path).map_err(|err| format!("can't read the file {path:?}: {err}"))?;
        let mut text = String::from_utf8(bytes).map_err(|_| format!("the file {path:?} is not UTF-8 text"))?;
        // Editors and `echo` end a file with a newline that is no part of the secret.
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        return Ok(text);
    }
    Err("\"${…}\" must be \"${env:NAME}\" or \"${file:path}\"; write \"$${\" for the characters themselves".to_owned())
}
