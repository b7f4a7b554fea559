//! Carries out the commands of `faulty-upstream ctl`, which controls a running upstream through its admin port.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use clap::Subcommand;

/// How long a command waits for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What to do to a running upstream.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the plan and its counters.
    List,
    /// Add one fault: JSON, or a file that holds it.
    Add {
        /// Like {"fault": "status-502", "when": {"every": 3}}.
        #[arg(value_name = "JSON|FILE")]
        fault: String,
    },
    /// Remove the fault with this id.
    Remove {
        /// See list.
        id: String,
    },
    /// Let the fault with this id strike.
    Arm {
        /// See list.
        id: String,
    },
    /// Keep the fault with this id from striking.
    Disarm {
        /// See list.
        id: String,
    },
    /// Replace the whole plan by that of a file.
    Load {
        /// A plan.
        file: String,
    },
    /// Show how often each fault has struck.
    Counters,
    /// Forget journal and counters.
    Reset,
    /// Show the sums of the journal.
    Status,
    /// Show the journal as JSON lines.
    Journal,
}

impl Command {
    /// The method, path and body of its request.
    fn request(&self) -> io::Result<(&'static str, String, String)> {
        let plain = |method, path: &str| Ok((method, path.to_owned(), String::new()));
        match self {
            Command::List => plain("GET", "/plan"),
            Command::Add { fault } if fault.trim_start().starts_with('{') => {
                Ok(("POST", "/plan/faults".to_owned(), fault.clone()))
            }
            Command::Add { fault } => Ok(("POST", "/plan/faults".to_owned(), read(fault)?)),
            Command::Remove { id } => plain("DELETE", &format!("/plan/faults/{id}")),
            Command::Arm { id } => plain("POST", &format!("/plan/faults/{id}/arm")),
            Command::Disarm { id } => plain("POST", &format!("/plan/faults/{id}/disarm")),
            Command::Load { file } => Ok(("PUT", "/plan".to_owned(), read(file)?)),
            Command::Counters => plain("GET", "/counters"),
            Command::Reset => plain("POST", "/reset"),
            Command::Status => plain("GET", "/status"),
            Command::Journal => plain("GET", "/journal"),
        }
    }
}

fn read(file: &str) -> io::Result<String> {
    std::fs::read_to_string(Path::new(file)).map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}")))
}

/// Runs `command` against the admin port at `address`, and returns the body of the answer.
///
/// # Errors
/// The port can't be reached, or it refused the command; then the text is that of the answer.
pub(crate) fn run(address: &str, command: &Command) -> io::Result<String> {
    let (method, path, body) = command.request()?;
    if path.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "an id has no spaces"));
    }
    let unreachable =
        |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}; is it the --admin-port?"));
    let mut stream = TcpStream::connect(address).map_err(unreachable)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all((head + &body).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(unreachable)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) == Some("200") { Ok(body.to_owned()) } else { Err(io::Error::other(body.trim_end())) }
}
