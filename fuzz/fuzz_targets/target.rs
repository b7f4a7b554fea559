//! A request target: whoever reads what we make of it goes where we said.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::http::authority::Authority;
use proxy::http::head::{Fields, Method, RequestHead, Version};
use proxy::http::target::{Route, is_ourselves, route};

fn head(method: &str, target: &str) -> Option<RequestHead> {
    let method = Method::new(method)?;
    Some(RequestHead { method, target: target.to_owned(), version: Version::Http11, fields: Fields::new() })
}

fuzz_target!(|input: (u8, &str)| {
    let (method, text) = input;
    // What a head lets through.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return;
    }
    let method = ["CONNECT", "GET", "OPTIONS"][usize::from(method) % 3];
    let Some(head) = head(method, text) else { return };
    let (authority, absolute) = match route(&head) {
        Ok(Route::Connect(authority)) => (authority, None),
        Ok(Route::Forward { authority, absolute, .. }) => (authority, Some(absolute)),
        Ok(Route::Origin(path)) => return assert!(path.starts_with('/')),
        Ok(Route::Asterisk) | Err(_) => return,
    };
    assert!(!authority.to_string().contains(['@', '/', '?', '#', '\\', '%']));
    assert_eq!(Authority::parse(&authority.to_string(), None), Ok(authority.clone()));
    assert!(authority.port != 0);
    let _ = is_ourselves(&authority, [([127, 0, 0, 1], 3130).into()]);
    if let Some(absolute) = absolute {
        let again = route(&RequestHead { target: absolute.clone(), ..head }).expect("our own target can be read");
        assert!(matches!(again, Route::Forward { authority: one, absolute: other, .. }
            if one == authority && other == absolute));
    }
});
