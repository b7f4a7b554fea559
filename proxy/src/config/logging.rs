//! Reads the `logging` section; beside it the one of what is remembered of the log, to be written when it is needed.

pub(super) mod access_format;
pub(super) mod flight_recorder;

use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::raw;
use super::reading::Reading;
use super::text::schema::shown;
use access_format::AccessFormat;

/// How logs are written. Needs a restart to change, but for the level, which can be set by hand.
#[derive(Clone, Debug, PartialEq)]
pub struct Logging {
    /// Text or JSON.
    pub format: LogFormat,
    /// A tracing filter such as `info` or `proxy=debug`.
    pub level: String,
    /// Where.
    pub to: LogTo,
    /// Of so many requests that went well one is logged. Default 1: all.
    pub sample_successes: NonZeroU64,
    /// How the line of a request that is over looks, where that is not as `format` has it.
    pub access_format: Option<AccessFormat>,
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTo {
    /// To standard error.
    Stderr,
    /// Appended to a file.
    File(PathBuf),
    /// To the syslog daemon behind a Unix datagram socket.
    Syslog(PathBuf),
}

impl fmt::Display for LogTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogTo::Stderr => f.write_str("standard error"),
            LogTo::File(path) => write!(f, "the file {}", path.display()),
            LogTo::Syslog(path) => write!(f, "syslog at {}", path.display()),
        }
    }
}

pub(super) fn read(raw: raw::Logging, reading: &mut Reading<'_>) -> Option<Logging> {
    let format = match raw.format {
        raw::LogFormat::Text => LogFormat::Text,
        raw::LogFormat::Json => LogFormat::Json,
    };
    let level = log_filter(&raw.level).map(|_| raw.level);
    let place = |path: Option<String>| match path {
        Some(path) if path.is_empty() => Err("must not be empty".to_owned()),
        path => Ok(path.map(PathBuf::from)),
    };
    let level = reading.good("logging.level", level);
    let file = reading.good("logging.file", place(raw.file));
    let syslog = reading.good("logging.syslog", place(raw.syslog));
    let access_format = raw.access_format.as_deref().map(AccessFormat::read).transpose();
    let access_format = reading.good("logging.access_format", access_format);
    let to = match (file?, syslog?) {
        (None, None) => Ok(LogTo::Stderr),
        (Some(file), None) => Ok(LogTo::File(file)),
        (None, Some(socket)) => Ok(LogTo::Syslog(socket)),
        (Some(_), Some(_)) => Err("the log goes to one place: leave out this or logging.file".to_owned()),
    };
    let to = reading.good("logging.syslog", to);
    Some(Logging {
        format,
        level: level?,
        to: to?,
        sample_successes: NonZeroU64::new(raw.sample_successes)?,
        access_format: access_format?,
    })
}

/// Reads a level of the log.
///
/// # Errors
/// It is none; the text says what one looks like.
pub(crate) fn log_filter(level: &str) -> Result<EnvFilter, String> {
    // A single word that is not a level would be taken for a module's name, and would silence everything else.
    let lone = !level.contains(['=', ',', '[']);
    let filter = if lone && level.parse::<LevelFilter>().is_err() { None } else { EnvFilter::try_new(level).ok() };
    filter.ok_or_else(|| {
        format!(
            "must be off, error, warn, info, debug, trace, or a filter such as \"info,proxy=debug\" (got {})",
            shown(level)
        )
    })
}
