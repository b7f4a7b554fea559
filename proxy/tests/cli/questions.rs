//! `proxy healthcheck` and `proxy reload`: asking a proxy that runs.

use rustix::process::{Signal, kill_process};
use serde_json::json;

use crate::support::{Place, Running, outcome, page};

#[test]
fn healthcheck_asks_without_credentials() {
    let mut place = Place::new();
    place.config["authentication"] = json!({ "enabled": true, "users": [{ "username": "a", "password": "b" }] });
    place.config["stats"] = json!({ "require_auth": true });
    place.write();
    let (code, out, err) = outcome(&mut place.command(&["healthcheck"]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains(&place.address.to_string()) && err.contains("refused"), "{err}");

    let _proxy = place.start();
    let (code, out, err) = outcome(&mut place.command(&["healthcheck"]));
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "ok (configuration 1)\n", ""));

    // A bad edit leaves the running proxy as healthy as it was.
    place.config["upstream_proxies"][0]["weight"] = json!(-1);
    place.write();
    assert_eq!(outcome(&mut place.command(&["healthcheck"])).0, Some(0));
    std::fs::write(place.file(), "{").unwrap();
    let (code, _, err) = outcome(&mut place.command(&["healthcheck"]));
    assert!(code == Some(1) && err.contains("not JSON"), "where to ask is not known: {err}");
}

#[test]
fn healthcheck_reaches_a_proxy_on_every_address() {
    let mut place = Place::new();
    place.config["server"] = json!({
        "listen_address": format!("0.0.0.0:{}", place.address.port()),
        "allow_unauthenticated_clients": true,
        "pid_file": "",
    });
    // Whoever answers under that port on 127.0.0.1, it is a question that can be answered.
    place.write();
    let (code, _, err) = outcome(&mut place.command(&["healthcheck"]));
    assert!(code == Some(1) && err.contains("127.0.0.1:"), "{code:?} {err}");
}

#[test]
fn another_server_on_the_port_is_not_healthy() {
    let place = Place::new();
    place.write();
    let listener = std::net::TcpListener::bind(place.address).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        std::io::Read::read(&mut stream, &mut [0; 1024]).unwrap();
        std::io::Write::write_all(&mut stream, answer).unwrap();
    });
    let (code, _, err) = outcome(&mut place.command(&["healthcheck"]));
    assert!(code == Some(1) && err.contains("did not answer as a netdrift proxy does"), "{err}");
    server.join().unwrap();
}

#[test]
fn reload_waits_for_the_new_configuration() {
    let mut place = Place::new();
    let _proxy = place.start();
    place.config["upstream_proxies"][0]["weight"] = json!(7);
    place.write();
    let (code, out, err) = outcome(&mut place.command(&["reload"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("reloaded (configuration "), "{out}");
    let stats = page(place.address, "/stats");
    assert_eq!(stats["total"]["upstream_metrics"][0]["weight"], 7);
    assert!(stats["config_epoch"].as_u64().unwrap() >= 2);
}

#[test]
fn reload_says_that_the_file_is_bad_and_the_old_one_stays() {
    let mut place = Place::new();
    let _proxy = place.start();
    place.config["upstream_proxies"][0]["weight"] = json!(-7);
    place.write();
    let (code, out, err) = outcome(&mut place.command(&["reload"]));
    assert_eq!((code, out.as_str()), (Some(78), ""));
    assert!(err.contains("upstream_proxies[0].weight: must be 0 or more"), "{err}");
    assert_eq!(page(place.address, "/stats")["total"]["upstream_metrics"][0]["weight"], 1);
}

#[test]
fn reload_says_that_the_running_proxy_refused() {
    let mut place = Place::new();
    let mut proxy = place.start();
    // Set for the command alone, so that only the proxy finds a problem.
    place.config["server"]["name"] = json!("${env:ONLY_HERE}");
    place.write();
    let mut command = place.command(&["reload"]);
    let (code, out, err) = outcome(command.env("ONLY_HERE", "x"));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("refused the configuration"), "{err}");
    proxy.line("server.name: the environment variable ONLY_HERE is not set");
}

#[test]
fn reload_says_that_no_proxy_runs() {
    let mut place = Place::new();
    place.write();
    let (code, _, err) = outcome(&mut place.command(&["reload"]));
    assert!(code == Some(1) && err.contains("proxy.pid: cannot find the PID file"), "{err}");

    let mut proxy = place.start();
    proxy.signal(Signal::KILL);
    proxy.end();
    let (code, _, err) = outcome(&mut place.command(&["reload"]));
    assert!(code == Some(1) && err.contains("is not a running proxy"), "{err}");

    place.config["server"]["pid_file"] = json!("");
    place.write();
    let (code, _, err) = outcome(&mut place.command(&["reload"]));
    assert!(code == Some(1) && err.contains("server.pid_file is empty"), "{err}");
}

#[test]
fn reload_signals_nobody_but_a_proxy() {
    let place = Place::new();
    place.write();
    let mut stranger = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::fs::write(place.path("proxy.pid"), stranger.id().to_string()).unwrap();
    assert_eq!(outcome(&mut place.command(&["reload"])).0, Some(1));
    // Signal 0 asks whether it lives; SIGHUP would have ended it.
    let pid = rustix::process::Pid::from_child(&stranger);
    assert!(stranger.try_wait().unwrap().is_none());
    kill_process(pid, Signal::KILL).unwrap();
    stranger.wait().unwrap();
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
