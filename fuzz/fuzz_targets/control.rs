//! A line that comes over the control socket: what is taken for a request says the same when it is written again, and no filter
//! that means every tunnel is ever taken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::Criteria;
use proxy::daemon::control::Request;

fuzz_target!(|line: &[u8]| {
    let Ok(request) = serde_json::from_slice::<Request>(line) else { return };
    let written = serde_json::to_vec(&request).expect("a request can be written");
    let again: Request = serde_json::from_slice(&written).expect("our own request can be read");
    assert_eq!(again, request);
    if let Request::CloseTunnels { which } = request {
        assert!(!which.to_string().is_empty());
        assert_ne!(Criteria::from(which), Criteria::default());
    }
});
