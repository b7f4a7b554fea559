//! The live engine finds the proxy's binary here.

use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

static CHOSEN: OnceLock<PathBuf> = OnceLock::new();

/// Sets the binary that all live runs of this process use. Only the first call has an effect.
pub fn use_proxy(path: PathBuf) {
    let _ = CHOSEN.set(path);
}

/// The binary that was set, else the one beside the simulator's own binary.
///
/// # Errors
/// There is no such file. The error says how to get one.
pub fn find() -> io::Result<PathBuf> {
    let path = match CHOSEN.get() {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("proxy"),
    };
    if path.is_file() {
        return Ok(path);
    }
    let text = format!(
        "{}: no proxy there; build it with `cargo build -p proxy` (with --release where the simulator was), or name it with --proxy PATH",
        path.display()
    );
    Err(io::Error::new(io::ErrorKind::NotFound, text))
}
