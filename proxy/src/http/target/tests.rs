//! Tests which request targets are read, as what, and why others are refused.

use proptest::prelude::*;

use super::*;
use crate::http::head::{HeadLimits, parse_request};

fn routed(method: &str, target: &str) -> Result<Route, TargetError> {
    let head = format!("{method} {target} HTTP/1.1\r\nHost: other.example\r\n\r\n");
    route(&parse_request(head.as_bytes(), HeadLimits { max_bytes: 8192, max_fields: 10 }).unwrap())
}

fn authority(text: &str) -> Authority {
    Authority::parse(text, Some(80)).unwrap()
}

#[test]
fn connect_takes_a_host_and_a_port() {
    for (target, shown) in [
        ("a.example:443", "a.example:443"),
        ("A.Example.:1", "a.example.:1"),
        ("my_host-1:65535", "my_host-1:65535"),
        ("192.0.2.1:443", "192.0.2.1:443"),
        ("[2001:DB8::1]:443", "[2001:db8::1]:443"),
        ("1e2.example:1", "1e2.example:1"),
    ] {
        let Ok(Route::Connect(authority)) = routed("CONNECT", target) else { panic!("{target}") };
        assert_eq!(authority.to_string(), shown);
    }
}

#[test]
fn hostile_authorities_are_refused() {
    use AuthorityError::*;
    let long_label = format!("{}:1", "a".repeat(64));
    let long_name = format!("{}:1", ["a".repeat(63).as_str(); 4].join("."));
    for (target, error) in [
        ("a.example", NoPort),
        ("[::1]", NoPort),
        ("a.example:", Port),
        ("a.example:0", Port),
        ("a.example:080", Port),
        ("a.example:65536", Port),
        ("a.example:+80", Port),
        ("a.example:8o", Port),
        ("a.example:80:80", Port),
        ("a.example:80/", Port),
        ("a.example:80?x", Port),
        ("a.example:80#x", Port),
        (":443", NoHost),
        ("user@a.example:443", UserInfo),
        ("user:secret@a.example:443", UserInfo),
        ("a.example:443@b.example:443", UserInfo),
        ("http://a.example:443", Port),
        ("/:443", Name),
        ("*:443", Name),
        ("a..example:443", Name),
        (".a:443", Name),
        (".:443", Name),
        ("a%2eexample:443", Name),
        ("a\\b:443", Name),
        ("a,b:443", Name),
        ("a;b:443", Name),
        (&long_label, Name),
        (&long_name, Name),
        ("127.1:80", Ipv4),
        ("2130706433:80", Ipv4),
        ("0x7f000001:80", Ipv4),
        ("0X7F.1:80", Ipv4),
        ("0x7f.0.0.0x1:80", Ipv4),
        ("0177.0.0.1:80", Ipv4),
        ("127.0.0.1.:80", Ipv4),
        ("256.0.0.1:80", Ipv4),
        ("1.2.3.4.5:80", Ipv4),
        ("a.example.0x:80", Ipv4),
        ("::1:80", Port),
        ("[::1:80", Port),
        ("[]:80", Ipv6),
        ("[::1%25eth0]:80", Ipv6),
        ("[v1.x]:80", Ipv6),
        ("[127.0.0.1]:80", Ipv6),
        ("x[::1]:80", Ipv6),
        ("[[::1]]:80", Ipv6),
        ("[::1]80", Port),
    ] {
        assert_eq!(routed("CONNECT", target), Err(TargetError::Authority(error)), "{target}");
    }
}

#[test]
fn absolute_form_is_forwarded_to_where_the_target_says() {
    for (method, target, host, absolute) in [
        ("GET", "http://a.example/x?y=1", "a.example", "http://a.example/x?y=1"),
        ("GET", "HTTP://A.Example:80", "a.example", "http://a.example/"),
        ("GET", "http://a.example:8080?q", "a.example:8080", "http://a.example:8080/?q"),
        ("GET", "http://[::1]:81//b@c:d/", "[::1]:81", "http://[::1]:81//b@c:d/"),
        ("GET", "http://[::1]/", "[::1]", "http://[::1]/"),
        ("GET", "http://127.0.0.1:81", "127.0.0.1:81", "http://127.0.0.1:81/"),
        ("GET", "http://a/?u=https://b/", "a", "http://a/?u=https://b/"),
        ("OPTIONS", "http://a.example", "a.example", "http://a.example"),
        ("OPTIONS", "http://a.example?q", "a.example", "http://a.example/?q"),
        ("OPTIONS", "http://a.example/", "a.example", "http://a.example/"),
    ] {
        let Ok(Route::Forward { authority, absolute: sent }) = routed(method, target) else { panic!("{target}") };
        assert_eq!((authority.in_http().as_str(), sent.as_str()), (host, absolute));
    }
}

#[test]
fn other_forms() {
    assert_eq!(routed("GET", "/stats?x"), Ok(Route::Origin("/stats?x".into())));
    assert_eq!(routed("OPTIONS", "*"), Ok(Route::Asterisk));
    for (method, target, error) in [
        ("GET", "*", TargetError::Form),
        ("GET", "a.example:80", TargetError::Form),
        ("GET", "http:/a.example/", TargetError::Form),
        ("GET", "a.example/x", TargetError::Form),
        ("connect", "a.example:80", TargetError::Form),
        ("GET", "https://a.example/", TargetError::Https),
        ("GET", "ftp://a.example/", TargetError::Scheme),
        ("GET", "file:///etc/passwd", TargetError::Scheme),
        ("GET", "://a.example/", TargetError::Scheme),
        ("GET", "http://a.example/#x", TargetError::Fragment),
        ("GET", "/#x", TargetError::Fragment),
        ("GET", "http://", TargetError::Authority(AuthorityError::NoHost)),
        ("GET", "http:///x", TargetError::Authority(AuthorityError::NoHost)),
        ("GET", "http://:80/", TargetError::Authority(AuthorityError::NoHost)),
        ("GET", "http://a.example:/", TargetError::Authority(AuthorityError::Port)),
        ("GET", "http://user:secret@a.example/", TargetError::Authority(AuthorityError::UserInfo)),
        ("GET", "http://a.example\\@b.example/", TargetError::Authority(AuthorityError::UserInfo)),
        ("GET", "http://a.example\\b.example/", TargetError::Authority(AuthorityError::Name)),
        ("GET", "http://127.1/", TargetError::Authority(AuthorityError::Ipv4)),
    ] {
        assert_eq!(routed(method, target), Err(error), "{method} {target}");
    }
}

#[test]
fn ourselves_is_recognised_by_literals_and_localhost() {
    for (listen, target, is_ours) in [
        ("127.0.0.1:3128", "127.0.0.1:3128", true),
        ("127.0.0.1:3128", "[::ffff:127.0.0.1]:3128", true),
        ("127.0.0.1:3128", "127.0.0.1:3129", false),
        ("127.0.0.1:3128", "127.0.0.2:3128", false),
        ("127.0.0.1:3128", "0.0.0.0:3128", true),
        ("127.0.0.1:3128", "[::]:3128", true),
        ("127.0.0.1:3128", "LocalHost:3128", true),
        ("127.0.0.1:3128", "localhost.:3128", true),
        ("127.0.0.1:3128", "a.localhost:3128", true),
        ("127.0.0.1:3128", "localhost:80", false),
        ("127.0.0.1:3128", "notlocalhost:3128", false),
        ("127.0.0.1:3128", "localhost.example:3128", false),
        ("192.0.2.1:3128", "192.0.2.1:3128", true),
        ("192.0.2.1:3128", "127.0.0.1:3128", false),
        ("192.0.2.1:3128", "localhost:3128", true),
        ("0.0.0.0:3128", "127.9.9.9:3128", true),
        ("0.0.0.0:3128", "192.0.2.1:3128", false),
        ("[::]:3128", "[::1]:3128", true),
        ("[::]:3128", "127.0.0.1:3128", true),
        ("[::]:3128", "[::ffff:127.0.0.1]:3128", true),
        ("[::ffff:192.0.2.1]:3128", "192.0.2.1:3128", true),
    ] {
        let others = "198.51.100.1:1".parse().unwrap();
        assert_eq!(is_ourselves(&authority(target), [others, listen.parse().unwrap()]), is_ours, "{listen} {target}");
    }
    assert!(!is_ourselves(&authority("127.0.0.1:80"), []));
}

proptest! {
    #[test]
    fn any_target_is_read_without_a_panic(
        target in prop_oneof!["[!-~]{1,30}", "(http)?(://)?[a-z0-9.:@/?#\\[\\]-]{0,20}x", "[0-9a-fx.:\\[\\]]{1,12}:1"],
    ) {
        let _ = routed("GET", &target);
        if let Ok(Route::Connect(authority)) = routed("CONNECT", &target) {
            // What we show is read back as the same.
            prop_assert_eq!(Authority::parse(&authority.to_string(), None), Ok(authority));
        }
    }

    #[test]
    fn no_name_reads_as_an_address(name in "[0-9a-fx.]{1,12}") {
        if let Ok(Host::Name(name)) = Host::parse(&name) {
            prop_assert!(!name.split('.').rfind(|label| !label.is_empty()).unwrap().bytes().all(|b| b.is_ascii_digit()));
        }
    }
}
