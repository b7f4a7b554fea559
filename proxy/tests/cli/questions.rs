//! Tests the commands that ask a running proxy: `healthcheck`, `reload`, `upstreams`, `stats`, `requests`, `explain`,
//! `drain`.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Place, Running, control, echo, outcome, page, tunnel, tunnel_with};

#[test]
fn healthcheck_asks_without_credentials() {
    let mut place = Place::new();
    place.config["authentication"] = json!({ "enabled": true, "users": [{ "username": "a", "password": "b" }] });
    place.config["stats"] = json!({ "require_auth": true });
    place.write();
    let (code, out, err) = outcome(&mut place.command(&["healthcheck"]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("proxy.sock: no proxy runs behind this control socket"), "{err}");

    let _proxy = place.start();
    let (code, out, err) = outcome(&mut place.command(&["healthcheck"]));
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "ok (configuration 1)\n", ""));
}

/// Without credentials, whatever the configuration asks clients for.
#[test]
fn upstreams_and_statistics_are_shown_and_a_drain_is_asked_for() {
    let mut place = Place::before(echo());
    place.config["authentication"] = json!({ "enabled": true, "users": [{ "username": "a", "password": "b" }] });
    place.config["stats"] = json!({ "require_auth": true });
    let mut running = place.start();
    let (code, out, err) = outcome(&mut place.command(&["upstreams"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("UPSTREAM") && lines[1].contains("  healthy  "), "{out}");
    let (code, out, _) = outcome(&mut place.command(&["upstreams", "--json"]));
    let list: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &list[0]["healthy"]), (Some(0), &json!(true)));
    let (code, out, _) = outcome(&mut place.command(&["stats"]));
    let page: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &page["total"]["upstream_metrics"].as_array().map(Vec::len)), (Some(0), &Some(1)));
    assert_eq!(outcome(&mut place.command(&["drain"])), (Some(0), "draining\n".into(), "".into()));
    assert_eq!(running.end(), 0);
    let (code, _, err) = outcome(&mut place.command(&["upstreams"]));
    assert!(code == Some(1) && err.contains("no proxy runs behind this control socket"), "{err}");
}

/// Beside the log, which has the numbers.
#[test]
fn the_last_requests_and_the_story_of_one_are_told() {
    let mut place = Place::before(echo());
    place.config["authentication"] = json!({ "enabled": true, "users": [{ "username": "a", "password": "b" }] });
    place.config["stats"] = json!({ "require_auth": true });
    let mut running = place.start();
    let mut client = std::net::TcpStream::connect(place.address).unwrap();
    client.write_all(b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nConnection: close\r\n\r\n").unwrap();
    client.read_to_end(&mut Vec::new()).unwrap();
    let line = running.line("no_credentials");
    let id = line.split("request=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let (code, out, err) = outcome(&mut place.command(&["explain", &id]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let told = format!("Request {id}: CONNECT a.test:443, asked by ");
    assert!(out.starts_with(&told) && out.contains("The client is to blame."), "{out}");
    let (code, out, _) = outcome(&mut place.command(&["explain", &id, "--json"]));
    let story: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &story["target"]), (Some(0), &json!("a.test:443")));
    drop(tunnel_with(place.address, "Proxy-Authorization: Basic YTpi\r\n"));
    running.line("outcome=\"ok\"");
    for (arguments, count) in [(&["requests"][..], 2), (&["requests", "--failed"], 1)] {
        let (code, out, _) = outcome(&mut place.command(arguments));
        let lines: Vec<&str> = out.lines().collect();
        assert!(code == Some(0) && lines[0].starts_with("REQUEST") && lines[count].starts_with(&id), "{out}");
        assert_eq!(lines.len(), 1 + count, "{out}");
        let (code, out, _) = outcome(&mut place.command(&[arguments, &["--json"]].concat()));
        let list: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, list["requests"].as_array().map(Vec::len)), (Some(0), Some(count)));
    }
    let (code, out, err) = outcome(&mut place.command(&["explain", "999"]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("request 999 is not remembered"), "{err}");
    let (code, _, err) = outcome(&mut place.command(&["explain", "x"]));
    assert!(code == Some(64) && err.contains("invalid value 'x'"), "{err}");
}

#[test]
fn a_sound_proxy_is_healthy_whatever_its_file_says_by_now() {
    let mut place = Place::new();
    let mut proxy = place.start();
    place.config["server"]["listen_address"] = json!("127.0.0.1:1");
    place.write();
    proxy.line("server.listen_address");
    assert_eq!(outcome(&mut place.command(&["healthcheck"])), (Some(0), "ok (configuration 2)\n".into(), "".into()));
    place.config["upstream_proxies"][0]["weight"] = json!(-1);
    place.write();
    assert_eq!(outcome(&mut place.command(&["healthcheck"])).0, Some(0));
    std::fs::write(place.file(), "{").unwrap();
    let (code, _, err) = outcome(&mut place.command(&["healthcheck"]));
    assert!(code == Some(1) && err.contains("not JSON"), "where to ask is not known: {err}");
    let (code, out, _) = outcome(&mut place.command(&["healthcheck", "--control-socket", "proxy.sock"]));
    assert!(code == Some(0) && out.starts_with("ok "), "{out}");
}

#[test]
fn another_program_behind_the_socket_is_not_healthy() {
    let place = Place::new();
    place.write();
    let listener = UnixListener::bind(place.path("proxy.sock")).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        assert_eq!(line, "{\"command\":\"health\"}\n");
        stream.write_all(b"220 hello\r\n").unwrap();
    });
    let (code, _, err) = outcome(&mut place.command(&["healthcheck"]));
    assert!(code == Some(1) && err.contains("this is no answer of a netdrift proxy"), "{err}");
    server.join().unwrap();
}

#[test]
fn reload_waits_for_the_new_configuration_and_says_what_changed() {
    let mut place = Place::new();
    let _proxy = place.start();
    place.config["upstream_proxies"][0]["weight"] = json!(7);
    place.config["upstream_proxies"][0]["tag"] = json!("x");
    place.write();
    let (code, out, err) = outcome(&mut place.command(&["reload"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("reloaded (configuration "), "{out}");
    let stats = page(place.address, "/stats");
    assert_eq!(stats["total"]["upstream_metrics"][0]["weight"], 7);
    assert!(stats["config_epoch"].as_u64().unwrap() >= 2);
}

#[test]
fn reload_needs_no_pid_file_no_variable_and_no_old_address() {
    let mut place = Place::new();
    place.config["server"]["pid_file"] = json!("");
    place.config["server"]["name"] = json!("${env:ONLY_THERE}");
    place.write();
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("proxy"));
    command.env("ONLY_THERE", "x").arg("--config").arg(place.file()).current_dir(place.folder.path());
    let mut proxy = Running::from(command);
    proxy.line("listen=");
    place.config["server"]["listen_address"] = json!("127.0.0.1:1");
    place.write();
    let (code, out, err) = outcome(&mut place.command(&["reload"]));
    assert!(code == Some(0) && out.starts_with("reloaded (configuration "), "{out}{err}");
    assert!(out.contains("needs a restart, the old value stays: server.listen_address: "), "{out}");
}

#[test]
fn reload_says_that_the_file_is_bad_and_the_old_one_stays() {
    let mut place = Place::new();
    let mut proxy = place.start();
    place.config["upstream_proxies"][0]["weight"] = json!(-7);
    place.write();
    let (code, out, err) = outcome(&mut place.command(&["reload"]));
    assert_eq!((code, out.as_str()), (Some(78), ""));
    assert!(err.contains("upstream_proxies[0].weight: must be 0 or more"), "{err}");
    assert!(err.contains("the old one stays in force"), "{err}");
    assert_eq!(page(place.address, "/stats")["total"]["upstream_metrics"][0]["weight"], 1);
    // Also what only the running proxy can find: the variable is set for the command alone.
    place.config["upstream_proxies"][0]["weight"] = json!(1);
    place.config["server"]["name"] = json!("${env:ONLY_HERE}");
    place.write();
    let mut command = place.command(&["reload"]);
    let (code, out, err) = outcome(command.env("ONLY_HERE", "x"));
    assert_eq!((code, out.as_str()), (Some(78), ""));
    assert!(err.contains("server.name: the environment variable ONLY_HERE is not set"), "{err}");
    proxy.line("server.name: the environment variable ONLY_HERE is not set");
}

#[test]
fn reload_says_that_no_proxy_runs() {
    let place = Place::new();
    place.write();
    let none = |place: &Place| {
        let (code, _, err) = outcome(&mut place.command(&["reload"]));
        assert!(code == Some(1) && err.contains("proxy.sock: no proxy runs behind this control socket"), "{err}");
    };
    none(&place);
    let mut proxy = place.start();
    proxy.signal(Signal::KILL);
    proxy.end();
    assert!(place.path("proxy.sock").exists(), "left over, and nobody behind it");
    none(&place);

    let mut place = Place::new();
    place.config["server"]["control_socket"] = json!("");
    let _proxy = place.start();
    assert!(!place.path("proxy.sock").exists());
    let (code, _, err) = outcome(&mut place.command(&["reload"]));
    assert!(code == Some(1) && err.contains("server.control_socket is off"), "{err}");
}

#[test]
fn a_draining_proxy_says_so_and_reloads_no_more() {
    let place = Place::before(echo());
    let mut proxy = place.start();
    let _open = tunnel(place.address);
    proxy.signal(Signal::TERM);
    proxy.line("draining");
    let (code, out, _) = outcome(&mut place.command(&["healthcheck"]));
    assert_eq!((code, out.as_str()), (Some(0), "draining (configuration 1)\n"), "it lives, so no engine restarts it");
    let (code, _, err) = outcome(&mut place.command(&["reload"]));
    assert!(code == Some(1) && err.contains("the proxy is stopping"), "{err}");
}

#[test]
fn whatever_comes_over_the_control_socket_is_answered_by_one_line() {
    let place = Place::new();
    let _proxy = place.start();
    let long = [b'x'; 4096];
    for bytes in [
        &b"\n"[..],
        b"{}\n",
        b"null\n",
        b"{\"command\":\"stop\"}\n",
        b"{\"command\":\"upgrade\",\"program\":\"/bin/sh\"}\n",
        b"\xff\xfe\n",
        b"[[[[[[\n",
        &long,
    ] {
        let answer = control(&place, bytes);
        assert_eq!(answer["result"], "error", "{bytes:?}: {answer}");
    }
    // Deeper than a parser's stack may go.
    let deep = [&b"{\"command\":"[..], &[b'['; 4000], b"\n"].concat();
    assert_eq!(control(&place, &deep)["result"], "error");
    // Those who say nothing keep nobody else from asking.
    let _silent: Vec<_> = (0..8).map(|_| UnixStream::connect(place.path("proxy.sock")).unwrap()).collect();
    let health = control(&place, b"{\"command\":\"health\"}\n");
    let told = json!({
        "result": "health", "status": "ok", "config_epoch": 1, "reloads": 0, "reload_failed": false,
    });
    assert_eq!(health, told);
}

#[test]
fn a_control_socket_that_cannot_be_had_is_warned_about_by_default_and_an_error_where_configured() {
    let mut place = Place::new();
    // Not permissions: tests may run as root.
    std::fs::create_dir(place.path("proxy.sock")).unwrap();
    let mut proxy = place.start();
    let warned = |line: &String| line.contains("WARN") && line.contains("no control socket");
    assert!(proxy.lines.iter().any(warned), "{:?}", proxy.lines);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.end(), 0);
    for path in ["proxy.sock", "missing/proxy.sock"] {
        place.config["server"]["control_socket"] = json!(path);
        place.write();
        let (code, _, err) = outcome(&mut place.command(&[]));
        assert!(code == Some(1) && err.contains(path), "{code:?} {err}");
    }
}

#[test]
fn a_second_proxy_gets_no_control_socket_that_is_taken() {
    let mut place = Place::new();
    place.config["server"]["pid_file"] = json!("");
    let first = place.start();
    let mut second = Place { folder: place.folder, address: crate::support::address(), config: place.config };
    second.config["server"]["listen_address"] = json!(second.address.to_string());
    let mut running = second.start();
    let named = format!("(process {})", first.child.id());
    assert!(running.lines.iter().any(|line| line.contains("no control socket") && line.contains(&named)));
    running.signal(Signal::TERM);
    assert_eq!(running.end(), 0);
    second.config["server"]["control_socket"] = json!("proxy.sock");
    second.write();
    let (code, _, err) = outcome(&mut second.command(&[]));
    assert!(code == Some(1) && err.contains(&named), "{code:?} {err}");
    assert_eq!(outcome(&mut second.command(&["healthcheck"])).0, Some(0), "the first still answers");
}

#[test]
fn the_variable_that_beats_the_flag_is_warned_about() {
    let place = Place::new();
    place.write();
    let named = "PROXY_CONFIG is set, so the configuration is other.json and not";
    let mut command = place.command(&["--check"]);
    let (code, _, err) = outcome(command.env("PROXY_CONFIG", "other.json"));
    assert!(code == Some(78) && err.contains(named), "{err}");
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("proxy"));
    command.env("PROXY_CONFIG", place.file()).args(["--config", "other.json"]).current_dir(place.folder.path());
    let mut proxy = Running::from(command);
    let line = proxy.line("PROXY_CONFIG is set");
    assert!(line.contains("WARN") && line.contains("not other.json"), "in the log, like all that it says: {line}");
}

#[test]
fn a_configuration_from_a_pipe_can_be_run() {
    let place = Place::new();
    let pipe = place.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let text = place.config.to_string();
    let writing = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::write(pipe, text).unwrap()
    });
    let mut proxy = Running::spawn(place.folder.path(), &pipe);
    proxy.line("listen=");
    writing.join().unwrap();
    // Nobody writes to it again: a read of it hangs, and must not keep the proxy from ending.
    proxy.signal(Signal::HUP);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.end(), 0);
}

/// The running proxy opens the file itself, and `/dev/stdin` or `/dev/fd/63` is another one to it.
#[test]
fn a_pipe_is_not_compared_with_what_runs_since_only_this_command_has_it() {
    let place = Place::new();
    let _proxy = place.start();
    let mut command = place.command(&["check", "--against-running", "/dev/stdin"]);
    let (code, out, err) = outcome(command.write_stdin(place.config.to_string()));
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("/dev/stdin: is no regular file, and the running proxy has to open it itself"), "{err}");
}
