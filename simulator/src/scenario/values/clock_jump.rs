//! A jump of the wall clock is written as a length of time, with a minus sign if it goes back.

use super::written::Notation;

/// By how much the wall clock is set forward, or back, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockJump(i64);

impl ClockJump {
    /// In milliseconds. If it is negative, the clock is set back.
    pub const fn milliseconds(self) -> i64 {
        self.0
    }
}

impl Notation for ClockJump {
    const FORMAT: &'static str = "clock-jump";
    const EXAMPLES: &'static [&'static str] = &["1h", "-1h"];

    fn read(text: &str) -> Result<Self, String> {
        let (sign, length) = text.strip_prefix('-').map_or((1, text), |length| (-1, length));
        let length = humantime::parse_duration(length).ok();
        let milliseconds = length.and_then(|length| i64::try_from(length.as_millis()).ok());
        let jump = milliseconds.map(|milliseconds| ClockJump(sign * milliseconds));
        jump.ok_or_else(|| format!("must be like \"1h\" or \"-1h\" (got {text:?})"))
    }
}
