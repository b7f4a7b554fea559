//! A plan of faults: any text comes to a plan, which says the same when it is written and read again, or to a list of problems.
#![no_main]

use faulty_upstream::plan::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| match parse(text) {
    Ok(plan) => {
        let written = plan.to_json();
        let again = parse(&written.to_string()).expect("our own plan can be read");
        assert_eq!(again.to_json(), written);
    }
    Err(problems) => assert!(!problems.is_empty()),
});
