//! Tests `proxy tunnels`: the open tunnels of a running proxy, and closing some.

use std::io::{ErrorKind, Read};

use rustix::process::geteuid;
use serde_json::{Value, json};

use crate::support::{Place, assert_open, echo, outcome, tunnel_with};

/// A proxy's folder, with upstreams tagged `a` and `b` that open every tunnel, for users `u` and `v`.
fn place() -> Place {
    let mut place = Place::new();
    place.config["upstream_proxies"] = json!([
        { "url": format!("http://{}", echo()), "tag": "a" },
        { "url": format!("http://{}", echo()), "tag": "b" },
    ]);
    let users = ["u", "v"].map(|name| json!({ "username": name, "password": "p" }));
    place.config["authentication"] = json!({ "enabled": true, "users": users });
    place
}

fn cells(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

#[test]
fn open_tunnels_are_shown_and_closed_and_the_log_says_by_whom() {
    let place = place();
    let mut proxy = place.start();
    let said = |args: &[&str], out: &str| {
        assert_eq!(outcome(&mut place.command(args)), (Some(0), format!("{out}\n"), String::new()), "{args:?}");
    };
    said(&["tunnels"], "no tunnel is open");
    said(&["tunnels", "close", "--idle-for", "1ms"], "0 tunnels closed");
    let [mut first, mut second] = ["dTpw", "djpw"].map(|credentials| {
        let (status, stream) = tunnel_with(place.address, &format!("Proxy-Authorization: Basic {credentials}\r\n"));
        assert_eq!(status, 200);
        stream
    });
    assert_open(&mut first);

    let (code, out, err) = outcome(&mut place.command(&["tunnels"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let lines: Vec<_> = out.lines().map(cells).collect();
    let heads = ["REQUEST", "CLIENT", "USER", "UPSTREAM", "TARGET", "AGE", "IDLE", "BYTES UP", "BYTES DOWN"];
    assert_eq!((lines.len(), &lines[0][..]), (3, &heads[..]), "{out}");
    let client = first.local_addr().unwrap().to_string();
    assert_eq!(lines[1][..5], ["1", &client, "u", "a", "a.test:80"], "{out}");
    assert_eq!((&lines[1][7..], &lines[2][7..]), (&["10", "10"][..], &["0", "0"][..]), "{out}");
    let (_, out, _) = outcome(&mut place.command(&["tunnels", "--json"]));
    let page: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&page["open"], &page["tunnels"][1]["user"]), (&json!(2), &json!("v")));

    said(&["tunnels", "close", "--user", "u", "--upstream", "a"], "1 tunnel closed");
    assert_eq!(first.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_open(&mut second);
    // The two are told by different threads.
    let told = [proxy.line("closed by hand"), proxy.line("closed by hand")].join("\n");
    let (finished, closed): (Vec<_>, Vec<_>) = told.lines().partition(|line| line.contains("event=\"finished\""));
    let words = ["end=\"stopped\"", "cause=\"closed by hand\"", "user=\"u\""];
    assert!(words.iter().all(|word| finished[0].contains(word)), "{told}");
    let who = format!("uid={} pid=", geteuid().as_raw());
    let words = ["WARN", "event=\"tunnels_closed\"", "tunnels closed by hand", "closed=1", &who];
    assert!(words.iter().all(|word| closed[0].contains(word)), "{told}");
    assert!(closed[0].contains(r#"upstream \"a\", user \"u\""#), "{told}");

    said(&["tunnels", "close", "--user", "u"], "0 tunnels closed");
    said(&["tunnels", "close", "--id", "2", "--target", "A.TEST"], "1 tunnel closed");
    said(&["tunnels"], "no tunnel is open");
}

#[test]
fn what_cannot_be_asked_is_refused_and_closes_nothing() {
    let place = place();
    let _proxy = place.start();
    let (_, mut open) = tunnel_with(place.address, "Proxy-Authorization: Basic dTpw\r\n");
    let (code, out, err) = outcome(&mut place.command(&["tunnels", "close", "--upstream", "no\none"]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let unknown = "no upstream is called \"no\\none\"; `proxy upstreams` shows their names";
    assert!(err.ends_with(&format!("proxy.sock: {unknown}\n")) && err.lines().count() == 1, "{err}");
    let long = "u".repeat(5_000);
    let (code, _, err) = outcome(&mut place.command(&["tunnels", "close", "--user", &long]));
    assert!(
        code == Some(1)
            && err.contains("proxy.sock: the request is longer than 4096 bytes")
            && err.lines().count() == 1,
        "{err}"
    );
    for (args, why) in [
        (&[][..], "required"),
        (&["--user", ""], "user must not be empty"),
        (&["--idle-for", "0s"], "idle_for must be a millisecond or more"),
        (&["--idle-for", "ever"], "invalid value 'ever' for '--idle-for <SPAN>'"),
        (&["--idle-for", "99999999999999999999999y"], "invalid value"),
        (&["--id", "-1"], "unexpected argument '-1'"),
        (&["--id", "99999999999999999999999"], "invalid value"),
    ] {
        let args = [&["tunnels", "close"], args].concat();
        let (code, out, err) = outcome(&mut place.command(&args));
        assert!(code == Some(64) && out.is_empty() && err.lines().next().unwrap().contains(why), "{args:?}: {err}");
    }
    assert_open(&mut open);
}
