//! Reads and writes numbers with a unit as people write them: `64k`, `250ms`.

use std::time::Duration;

/// Reads a number of bytes, with `k`, `m` or `g` (powers of 1024) behind it or without.
///
/// # Errors
/// A sentence that says what was read and what was expected.
pub fn bytes(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let (digits, scale) = match lower.as_bytes().last() {
        Some(b'k') => (&lower[..lower.len() - 1], 1 << 10),
        Some(b'm') => (&lower[..lower.len() - 1], 1 << 20),
        Some(b'g') => (&lower[..lower.len() - 1], 1 << 30),
        _ => (lower.as_str(), 1),
    };
    let number: u64 = digits.parse().map_err(|_| format!("`{text}` is no size: a number, with k, m or g behind it"))?;
    number.checked_mul(scale).ok_or_else(|| format!("`{text}` is more than can be counted"))
}

/// Reads a time with its unit: `250ms`, `5s`, `1m 30s`.
///
/// # Errors
/// A sentence that says what was read and what was expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("`{text}` is no duration such as 250ms or 5s: {error}"))
}

/// Reads a rate: requests in a second, with up to three decimals. Returns thousandths of it.
///
/// # Errors
/// A sentence that says what was read and what was expected.
pub fn rate(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let wrong = || format!("`{text}` is no rate: requests in a second, such as 500 or 0.5");
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let thousandths: u64 = format!("{decimals:0<3}").parse().map_err(|_| wrong())?;
    if whole > 10_000_000 {
        return Err(format!("`{text}` is more than 10,000,000 a second"));
    }
    Ok(whole * 1000 + thousandths)
}

/// Writes a duration short enough for a table: `12.3 ms`.
pub fn show(span: Duration) -> String {
    let nanos = span.as_nanos() as f64;
    match nanos {
        _ if nanos < 1e3 => format!("{nanos:.0} ns"),
        _ if nanos < 1e6 => format!("{:.1} µs", nanos / 1e3),
        _ if nanos < 1e9 => format!("{:.2} ms", nanos / 1e6),
        _ => format!("{:.2} s", nanos / 1e9),
    }
}

/// Writes a number of bytes short enough for a table: `1.5 MiB`.
pub fn show_bytes(bytes: f64) -> String {
    match bytes {
        _ if bytes < 1024.0 => format!("{bytes:.0} B"),
        _ if bytes < 1024.0 * 1024.0 => format!("{:.1} KiB", bytes / 1024.0),
        _ if bytes < 1024.0 * 1024.0 * 1024.0 => format!("{:.1} MiB", bytes / 1024.0 / 1024.0),
        _ => format!("{:.2} GiB", bytes / 1024.0 / 1024.0 / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_binary_suffixes() {
        assert_eq!([bytes("7"), bytes("64k"), bytes("1M")], [Ok(7), Ok(65_536), Ok(1 << 20)]);
        for wrong in ["", "k", "-1", "1.5k", "99999999999g"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_are_kept_in_thousandths() {
        assert_eq!([rate("500"), rate("0.5"), rate("2.25/s")], [Ok(500_000), Ok(500), Ok(2250)]);
        for wrong in ["", "x", "1.2345", "-3", "1.-5", "99999999"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
