//! Reads the `flight_recorder` section.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::raw;
use crate::config::reading::Reading;
use crate::config::text::schema::shown;

/// What is remembered of the last minutes, and when it is written by itself. Needs a restart to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlightRecorder {
    /// Bytes for the events. Default 8 MB.
    pub memory: usize,
    /// What is older is not written. No record is written by itself within this time behind another. Default 5 m.
    pub keep: Duration,
    /// Where records go that are written by themselves.
    pub directory: Option<PathBuf>,
    /// Write one where an upstream is ejected.
    pub on_ejection: bool,
    /// Write one where so many requests fail by an upstream's fault, or netdrift's, within ten seconds.
    pub on_failures: Option<NonZeroU32>,
}

/// The least and the most memory, in bytes.
const LEAST: usize = 1_000_000;
const MOST: usize = 1_000_000_000;

impl fmt::Display for FlightRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FlightRecorder { memory, keep, directory, on_ejection, on_failures } = self;
        write!(f, "{memory} bytes, {}", humantime::format_duration(*keep))?;
        if let Some(directory) = directory {
            write!(f, ", written to {}", directory.display())?;
        }
        if *on_ejection {
            f.write_str(" on ejection")?;
        }
        match on_failures {
            Some(failures) => write!(f, " on {failures} failures"),
            None => Ok(()),
        }
    }
}

/// Nothing if it can't be read; nothing within it if there is none.
pub(in crate::config) fn read(
    raw: Option<raw::FlightRecorder>,
    reading: &mut Reading<'_>,
) -> Option<Option<FlightRecorder>> {
    let Some(raw) = raw else { return Some(None) };
    let memory = reading.good("flight_recorder.memory", size(&raw.memory));
    let by_itself = raw.on_ejection || raw.on_failures.is_some();
    let directory = match raw.directory {
        Some(directory) if directory.is_empty() => Err("must not be empty".to_owned()),
        None if by_itself => Err("is missing: it says where records go that are written by themselves".to_owned()),
        directory => Ok(directory.map(PathBuf::from)),
    };
    let directory = reading.good("flight_recorder.directory", directory);
    Some(Some(FlightRecorder {
        memory: memory?,
        keep: raw.keep.get(),
        directory: directory?,
        on_ejection: raw.on_ejection,
        on_failures: raw.on_failures.and_then(NonZeroU32::new),
    }))
}

/// Reads an amount of bytes with its unit, such as "8MB" or "16 MiB", within the bounds.
fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit.trim_start() {
        "B" => Some(1),
        "KB" => Some(1_000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let bytes = number.parse::<usize>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    bytes.filter(|bytes| (LEAST..=MOST).contains(bytes)).ok_or_else(|| {
        format!(
            "must be an amount of bytes with a unit, from \"1MB\" to \"1GB\", such as \"8MB\" or \"16MiB\" (got {})",
            shown(text)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_a_unit_and_bounds() {
        for (text, bytes) in [
            ("8MB", 8_000_000),
            ("8 MB", 8_000_000),
            ("16MiB", 16 << 20),
            ("1GB", 1_000_000_000),
            ("1000KB", 1_000_000),
            ("1000000B", 1_000_000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in
            ["", "8", "MB", "8mb", "8M", "-8MB", "1.5MB", "8MBx", "999999B", "2GB", "99999999999999999999GB", "1GiB"]
        {
            assert!(size(text).unwrap_err().contains("from \"1MB\" to \"1GB\""), "{text}");
        }
    }
}
