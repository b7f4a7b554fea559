//! A line of a log from which an incident is read: any JSON comes to an event or to nothing, never to a panic.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use simulator::record::parse_log_line;
use simulator::scenario::HostName;

fuzz_target!(|line: &[u8]| {
    let Ok(line) = serde_json::from_slice(line) else { return };
    let _ = parse_log_line(&line, Duration::from_secs(1), |id| HostName::new(&id.to_string()), str::to_owned);
});
