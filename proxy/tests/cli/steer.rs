//! Tests what an operator does to a running proxy by hand.

use rustix::process::{geteuid, getpid};
use serde_json::{Value, json};

use crate::support::{Place, Running, assert_open, echo, get, outcome, page, tunnel, tunnel_with};

/// A proxy's folder, with upstreams tagged `a` and `b` that open every tunnel.
fn place() -> Place {
    let mut place = Place::new();
    place.config["upstream_proxies"] = json!([
        { "url": format!("http://{}", echo()), "tag": "a", "weight": 3 },
        { "url": format!("http://{}", echo()), "tag": "b" },
    ]);
    place
}

/// A row of `proxy upstreams`, its cells.
fn row(place: &Place, name: &str) -> Vec<String> {
    let (_, out, _) = outcome(&mut place.command(&["upstreams"]));
    let line = out.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{out}"));
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
}

fn requests(place: &Place, name: &str) -> u64 {
    let stats = page(place.address, "/stats");
    let all = stats["total"]["upstream_metrics"].as_array().unwrap().clone();
    all.iter().find(|one| one["name"] == name).unwrap()["total_requests"].as_u64().unwrap()
}

fn said(place: &Place, args: &[&str], out: &str) {
    assert_eq!(outcome(&mut place.command(args)), (Some(0), format!("{out}\n"), String::new()), "{args:?}");
}

#[test]
fn an_upstream_is_taken_out_and_back_in_and_the_log_says_by_whom() {
    let place = place();
    let mut proxy = place.start();
    let mut open: Vec<_> = (0..4).map(|_| tunnel(place.address)).collect();
    assert_eq!((requests(&place, "a"), requests(&place, "b")), (3, 1));
    for (verb, change, state) in
        [("disable", "disabled", "disabled (file: enabled)"), ("drain", "drains", "draining (file: enabled)")]
    {
        said(&place, &["upstream", verb, "a"], &format!("upstream a {change}"));
        assert_eq!(row(&place, "a")[1..3], [state, "0"]);
        let line = proxy.line("event=\"steered\"");
        let who = format!("uid={}", geteuid().as_raw());
        let words = ["upstream set by hand", "name=\"a\"", &format!("upstream a {change}"), &who, "pid="];
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
        assert!(
            !line.contains(&format!("pid={}", getpid().as_raw_nonzero())),
            "the command's process, not ours: {line}"
        );
        let before = requests(&place, "a");
        open.extend((0..3).map(|_| tunnel(place.address)));
        assert_eq!(requests(&place, "a"), before);
    }
    open.iter_mut().for_each(assert_open);
    said(&place, &["upstream", "enable", "a"], "upstream a enabled, weight 3");
    assert_eq!(row(&place, "a")[1..3], ["healthy", "3"]);
    said(&place, &["upstream", "weight", "a", "1"], "upstream a weight 3 → 1");
    assert_eq!(row(&place, "a")[1..3], ["healthy", "1 (file: 3)"]);
    said(&place, &["upstream", "weight", "a", "1"], "upstream a is of weight 1 already");
    let (_, out, _) = outcome(&mut place.command(&["upstream", "eject", "a"]));
    assert!(out.starts_with("upstream a ejected, probe in "), "{out}");
    proxy.line("event=\"ejected\"");
    said(&place, &["upstream", "restore", "a"], "upstream a restored");
    proxy.line("event=\"recovered\"");
}

#[test]
fn what_is_watched_shows_what_changes() {
    let place = place();
    let _proxy = place.start();
    for view in ["upstreams", "health"] {
        let mut watch = std::process::Command::new("sh");
        watch.args(["-c", "exec \"$0\" \"$1\" --watch --config \"$2\" >&2", env!("CARGO_BIN_EXE_proxy"), view]);
        let mut watch = Running::from({
            watch.arg(place.file()).current_dir(place.folder.path()).env_remove("PROXY_CONFIG");
            watch
        });
        assert!(watch.line("b ").contains("healthy"), "{view}");
        said(&place, &["upstream", "disable", "b"], "upstream b disabled");
        watch.line("disabled");
        said(&place, &["upstream", "enable", "b"], "upstream b enabled, weight 1");
    }
}

#[test]
fn the_last_upstream_may_go_and_the_answer_warns() {
    let place = place();
    let _proxy = place.start();
    said(&place, &["upstream", "disable", "a"], "upstream a disabled");
    let warned = "proxy: warning: no upstream is left: requests are answered 503, and /readyz says so\n";
    let outcome_of = outcome(&mut place.command(&["upstream", "disable", "b"]));
    assert_eq!(outcome_of, (Some(0), "upstream b disabled\n".to_owned(), warned.to_owned()));
    assert_eq!((get(place.address, "/readyz").0, tunnel_with(place.address, "").0), (503, 503));
    let weighted = outcome(&mut place.command(&["upstream", "weight", "b", "0"]));
    assert_eq!((weighted.0, weighted.2.as_str()), (Some(0), warned));
    let (code, out, err) = outcome(&mut place.command(&["upstream", "enable", "b"]));
    assert_eq!((code, out.as_str()), (Some(0), "upstream b enabled, weight 0\n"));
    assert!(err.starts_with("proxy: warning: the weight of upstream b is 0, so that it takes no requests\n"), "{err}");
    said(&place, &["upstream", "enable", "a"], "upstream a enabled, weight 3");
    assert_eq!((get(place.address, "/readyz").0, tunnel_with(place.address, "").0), (200, 200));
}

#[test]
fn what_is_no_order_is_refused_in_one_line() {
    let place = place();
    place.write();
    let (code, _, err) = outcome(&mut place.command(&["upstream", "disable", "a"]));
    assert!(code == Some(1) && err.contains("no proxy runs behind this control socket"), "{err}");
    let _proxy = place.start();
    for (args, why) in [
        (&["upstream", "disable", "c"][..], "no upstream is called \"c\"; `proxy upstreams` shows their names"),
        (&["upstream", "weight", "a", "10001"], "a weight is 0 to 10000, not 10001"),
    ] {
        let (code, out, err) = outcome(&mut place.command(args));
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(err.ends_with(&format!("proxy.sock: {why}\n")) && err.lines().count() == 1, "{err}");
    }
    assert_eq!(outcome(&mut place.command(&["upstream", "weight", "a", "x"])).0, Some(64));
    assert_eq!(page(place.address, "/stats")["total"]["upstream_metrics"][0]["by_hand"], Value::Null);
}

#[test]
fn a_reload_returns_to_the_file() {
    let place = place();
    let mut proxy = place.start();
    said(&place, &["upstream", "weight", "a", "7"], "upstream a weight 3 → 7");
    said(&place, &["upstream", "disable", "b"], "upstream b disabled");
    let (code, out, _) = outcome(&mut place.command(&["reload"]));
    assert!(code == Some(0) && out.contains("weight 7 → 3") && out.contains(" enabled, weight 1"), "{out}");
    proxy.line("configuration reloaded");
    assert_eq!(
        (row(&place, "a")[1..3].to_vec(), row(&place, "b")[1..3].to_vec()),
        (vec!["healthy".to_owned(), "3".to_owned()], vec!["healthy".to_owned(), "1".to_owned()],)
    );
}

#[test]
fn what_a_reload_would_change_is_shown_and_not_done() {
    let mut place = place();
    place.config["server"]["name"] = json!("${env:ONLY_THERE}");
    place.write();
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("proxy"));
    command.env("ONLY_THERE", "x").arg("--config").arg(place.file()).current_dir(place.folder.path());
    let mut proxy = Running::from(command);
    proxy.line("listen=");
    let check = |file: &str| outcome(&mut place.command(&["check", "--against-running", file]));
    let nothing = (Some(0), "proxy.json: a reload would change nothing\n".to_owned(), String::new());
    assert_eq!(check("proxy.json"), nothing, "read with the proxy's environment");

    said(&place, &["upstream", "weight", "a", "7"], "upstream a weight 3 → 7");
    said(&place, &["upstream", "drain", "b"], "upstream b drains");
    let (url_a, url_b) =
        (place.config["upstream_proxies"][0]["url"].clone(), place.config["upstream_proxies"][1]["url"].clone());
    let (code, out, err) = check("proxy.json");
    let mut lines: Vec<String> = out.lines().map(str::to_owned).collect();
    lines[1..3].sort();
    let mut changes = [
        format!("upstream {} weight 7 → 3", url_a.as_str().unwrap()),
        format!("upstream {} enabled, weight 1", url_b.as_str().unwrap()),
    ];
    changes.sort();
    let [first, second] = changes;
    let expected = [
        "proxy.json: a reload would change the running proxy".to_owned(),
        first,
        second,
        "was set by hand and would end: upstream a enabled, weight 7".to_owned(),
        "was set by hand and would end: upstream b draining, weight 1".to_owned(),
    ];
    assert_eq!((code, err.as_str(), lines.as_slice()), (Some(2), "", &expected[..]));

    // What was set by hand is saved here, and something else is new.
    let mut draft = place.config.clone();
    draft["upstream_proxies"][0]["weight"] = json!(7);
    draft["upstream_proxies"][1]["enabled"] = json!(false);
    draft["server"]["pid_file"] = json!("other.pid");
    draft["server"]["control_socket"] = json!("proxy.sock");
    draft["timeouts"] = json!({ "connect": "5s" });
    std::fs::write(place.path("draft.json"), draft.to_string()).unwrap();
    let (code, out, _) = check("draft.json");
    assert_eq!(
        (code, out.lines().collect::<Vec<_>>()),
        (
            Some(2),
            vec![
                "draft.json: a reload would change the running proxy",
                "timeouts.connect: 10s → 5s",
                "was set by hand and would end: upstream b draining, weight 1",
                "needs a restart, the old value would stay: server.pid_file: the default → other.pid",
                "needs a restart, the old value would stay: server.control_socket: the default → proxy.sock",
            ]
        )
    );
    assert_eq!(row(&place, "a")[1..3], ["healthy", "7 (file: 3)"], "nothing is done");

    std::fs::write(place.path("draft.json"), "{").unwrap();
    let (code, out, err) = check("draft.json");
    assert!(code == Some(78) && out.is_empty() && err.contains("draft.json: "), "{err}");
    let (code, _, err) = check("missing.json");
    assert!(code == Some(78) && err.contains("missing.json: can't read the file"), "{err}");
    drop(proxy);
    let (code, _, err) = check("proxy.json");
    assert!(code == Some(1) && err.contains("no proxy runs behind this control socket"), "{err}");
}

#[test]
fn the_health_of_each_upstream_is_shown_with_its_reason_and_its_next_probe() {
    let mut place = place();
    place.config["health_check"] = json!({ "backoff_base": "1h", "backoff_max": "1h" });
    let _proxy = place.start();
    said(&place, &["upstream", "disable", "b"], "upstream b disabled");
    let (code, out, err) = outcome(&mut place.command(&["upstream", "eject", "a"]));
    assert_eq!(code, Some(0), "{out}{err}");
    let (code, out, err) = outcome(&mut place.command(&["health"]));
    assert_eq!((code, err.as_str(), out.lines().count()), (Some(0), "", 3), "{out}");
    let cells = |line: usize| -> Vec<&str> {
        let cells = out.lines().nth(line).unwrap().split("  ").map(str::trim);
        cells.filter(|cell| !cell.is_empty()).collect()
    };
    let (a, b) = (cells(1), cells(2));
    assert_eq!((a[..2].to_vec(), a[4]), (vec!["a", "ejected"], "0"), "{out}");
    assert!(a[5].starts_with("in ") && a[6] == "by hand", "{out}");
    assert_eq!(b, ["b", "disabled", "-", "0", "-", "-"], "{out}");
    let (_, out, _) = outcome(&mut place.command(&["health", "--json"]));
    let list: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&list[0]["health"], &list[1]["health"]), (&json!("ejected"), &json!("disabled")), "{out}");
    assert!(list[0]["probe_in_ms"].as_u64().unwrap() > 0, "{out}");
}
