//! A scenario file of the simulator: any text comes to a scenario or to a list of problems, never to a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use simulator::scenario::parse;

fuzz_target!(|text: &str| match parse(text) {
    Ok(scenario) => assert!(!scenario.upstreams.is_empty()),
    Err(problems) => assert!(!problems.to_string().is_empty()),
});
