//! A configuration file: any bytes come to a configuration or to a list of problems, never to a panic.
#![no_main]

use std::io;

use libfuzzer_sys::fuzz_target;
use proxy::config::{Lookup, parse};

/// Every variable and every file holds the same.
struct Echo;

impl Lookup for Echo {
    fn env(&self, name: &str) -> Option<String> {
        (!name.is_empty()).then(|| name.to_owned())
    }

    fn file(&self, path: &str) -> io::Result<Vec<u8>> {
        Ok(path.as_bytes().to_vec())
    }
}

fuzz_target!(|bytes: &[u8]| match parse("fuzz.json", bytes, &Echo) {
    Ok(config) => assert!(!config.upstreams.is_empty()),
    Err(problems) => assert!(!problems.to_string().is_empty()),
});
