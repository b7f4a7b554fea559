//! Writes a moment as the Date field has it.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// How long it is (RFC 9110 section 5.6.7).
const LENGTH: usize = 29;

thread_local! {
    /// The one that was written last, and its second: thousands of responses fall into one.
    static LAST: Cell<Option<(u64, [u8; LENGTH])>> = const { Cell::new(None) };
}

/// `wall` as the Date field has it.
pub(crate) fn http_date(wall: SystemTime) -> [u8; LENGTH] {
    let second = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if let Some((of, text)) = LAST.get()
        && of == second
    {
        return text;
    }
    let mut text = [b' '; LENGTH];
    for (place, byte) in text.iter_mut().zip(httpdate::fmt_http_date(wall).bytes()) {
        *place = byte;
    }
    LAST.set(Some((second, text)));
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_date_is_that_of_its_second_whichever_was_asked_for_before() {
        for millis in [0, 999, 1_000, 784_111_777_000, 784_111_777_999, 784_111_778_000, 500] {
            let wall = UNIX_EPOCH + Duration::from_millis(millis);
            assert_eq!(http_date(wall), httpdate::fmt_http_date(wall).as_bytes(), "{millis}");
        }
    }
}
