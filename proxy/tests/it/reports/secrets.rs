//! No secret of the configuration or of a client appears in anything that the proxy writes or answers.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::process::binary::Binary;
use crate::support::{Double, run};

/// Passwords and tokens, each found nowhere else, by where they stand. Odd characters make their encodings differ.
const USER: &str = "us3r~s3cret/plain?";
const UPSTREAM: &str = "up5tream+s3cret=x";
const HEADER: &str = "h3ader-s3cret&y";
const FROM_ENV: &str = "env1ronment_s3cret>z";
const FROM_FILE: &str = "f1le-s3cret<w~~";
const GUESSED: &str = "gu3ssed-s3cret?v";
const ALL: [&str; 6] = [USER, UPSTREAM, HEADER, FROM_ENV, FROM_FILE, GUESSED];

/// Every way in which `secret` could be written, alone or as the password of `users`.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string()];
    forms.push(serde_json::to_string(secret).unwrap().trim_matches('"').to_owned());
    let pairs = ["anna", "bert", "carl", "up", "nobody"].map(|user| format!("{user}:{secret}"));
    for text in pairs.iter().map(String::as_str).chain([secret]) {
        for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE] {
            // Without its end, where the next characters would change it.
            let encoded = engine.encode(text);
            forms.push(encoded[..encoded.len() / 4 * 4 - 4].to_owned());
        }
    }
    forms
}

fn assert_clean(what: &str, text: &str) {
    for secret in ALL {
        for form in forms(secret) {
            assert!(!text.contains(&form), "{what} shows {form:?}:\n{text}");
        }
    }
}

/// Secrets in every place where one can stand. The second upstream refuses ours, the third is not there.
fn config(format: &str, [good, refusing, absent]: [String; 3]) -> Value {
    let encoded = utf8_percent_encode(UPSTREAM, NON_ALPHANUMERIC);
    json!({
        "server": { "listen_address": "127.0.0.1:0", "pid_file": "" },
        "authentication": { "enabled": true, "users": [
            { "username": "anna", "password": USER },
            { "username": "bert", "password": "${env:NETDRIFT_TEST_SECRET}" },
            { "username": "carl", "password": "${file:secret.txt}" },
        ]},
        "upstream_proxies": [
            { "url": format!("http://up:{encoded}@{good}"), "connect_headers": { "X-Token": HEADER } },
            { "url": format!("http://up:{encoded}@{refusing}") },
            { "url": format!("http://up:{encoded}@{absent}"), "note": "nobody is there" },
        ],
        "health_check": { "failure_threshold": 1 },
        "logging": { "level": "trace", "format": format },
    })
}

async fn exercise(format: &str) {
    let (good, _) = Double::mock("mock").await;
    let refusing = Double::replying("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n").await;
    let absent = Double::refusing().await;
    let config = config(format, [good.addr.to_string(), refusing.addr.to_string(), absent.to_string()]);
    let mut binary = Binary::start_as(&config, |binary, folder| {
        std::fs::write(folder.join("secret.txt"), FROM_FILE).unwrap();
        let mut command = Command::new(binary);
        command.env("NETDRIFT_TEST_SECRET", FROM_ENV);
        command
    })
    .await;

    let credentials = [("anna", USER), ("bert", FROM_ENV), ("carl", FROM_FILE), ("anna", GUESSED), ("nobody", GUESSED)];
    let mut statuses = Vec::new();
    for (user, password) in credentials {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        for line in [
            "CONNECT echo.mock:80",
            "GET http://http.mock/",
            // Bad in ways that an error could be tempted to quote.
            &format!("GET http://{user}:{password}@http.mock/"),
            &format!("CONNECT {user}:{password}@http.mock:80"),
            &format!("GET /{}", utf8_percent_encode(password, NON_ALPHANUMERIC)),
            "GET /stats",
        ] {
            for name in ["Proxy-Authorization", "Authorization", "Proxy-Authorization : x\r\nProxy-Authorization"] {
                let mut client = binary.client().await;
                client.send(format!("{line} HTTP/1.1\r\nHost: localhost\r\n{name}: {authorization}\r\n\r\n")).await;
                client.finish().await;
                let text = String::from_utf8(client.rest().await.unwrap()).unwrap();
                assert_clean(line, &text);
                statuses.push(text.get(9..12).unwrap_or_default().to_owned());
            }
        }
    }
    for status in ["200", "400", "404", "407"] {
        assert!(statuses.iter().any(|one| one == status), "nothing was answered with {status}");
    }
    // A good reload, then a bad one with a secret where it makes the file wrong.
    let path = binary.folder.path().join("config.json");
    let mut changed = config.clone();
    changed["upstream_proxies"][0]["weight"] = json!(7);
    changed["authentication"]["users"][0]["password"] = json!(format!("{USER}2"));
    std::fs::write(&path, changed.to_string()).unwrap();
    binary.logged("configuration reloaded").await;
    for bad in wrong(&config) {
        std::fs::write(&path, &bad).unwrap();
        let check = std::process::Command::new(env!("CARGO_BIN_EXE_proxy"))
            .args(["--check", "--config"])
            .arg(&path)
            .env_remove("PROXY_CONFIG")
            .env("NETDRIFT_TEST_SECRET", FROM_ENV)
            .output()
            .unwrap();
        assert_eq!(check.status.code(), Some(78), "{bad}");
        assert_clean("--check", &String::from_utf8_lossy(&check.stdout));
        assert_clean("--check's errors", &String::from_utf8_lossy(&check.stderr));
    }
    binary.logged("configuration not reloaded").await;
    let mut client = binary.client().await;
    client.send("GET /stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    let (head, stats) = client.response().await;
    let stats = String::from_utf8(stats).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && stats.contains("reload_error"), "{stats}");
    assert_clean("the statistics", &stats);
    let told = std::fs::read_to_string(format!("/proc/{}/cmdline", binary.pid())).unwrap();
    assert_clean("the process list", &told);
    binary.stop().await;
    let log = binary.log().join("\n");
    for event in ["upstream ejected", "attempt ended", "verdict", "request", "drained"] {
        assert!(log.contains(event), "the log was to show {event:?}:\n{log}");
    }
    assert_clean("the log", &log);
}

/// Files that are wrong in a value that is, or stands beside, a secret.
fn wrong(good: &Value) -> Vec<String> {
    let with = |pointer: &str, value: Value| {
        let mut config = good.clone();
        *config.pointer_mut(pointer).unwrap() = value;
        config.to_string()
    };
    let good_text = good.to_string();
    vec![
        with("/upstream_proxies/0/url", json!(format!("http://up:{UPSTREAM}@host:99999"))),
        with("/upstream_proxies/0/url", json!(format!("ftp://up:{UPSTREAM}@host"))),
        with("/upstream_proxies/0/url", json!(format!("http://up:{UPSTREAM}%zz@host"))),
        with("/upstream_proxies/0/url", json!(format!("up:{UPSTREAM}@host"))),
        with("/upstream_proxies/0/url", json!([UPSTREAM])),
        with("/upstream_proxies/0/connect_headers", json!({ "X-Token": format!("{HEADER}\r\nX: y"), "Host": HEADER })),
        with("/upstream_proxies/0/connect_headers", json!({ "X-Token": [HEADER] })),
        with("/authentication/users/0/password", json!(format!("{USER}\n"))),
        with("/authentication/users/0/password", json!({ "secret": USER })),
        with("/authentication/users/0/password", json!(format!("$2b$12${USER}"))),
        with("/authentication/users/0/password", json!(format!("{USER}${{env:NETDRIFT_TEST_MISSING}}"))),
        good_text[..good_text.len() - 1].to_owned(),
        good_text.replace("\"weight\"", "\"wieght\"").replacen(USER, &format!("{USER}\\q"), 1),
    ]
}

#[test]
fn no_secret_is_in_what_is_written_as_text() {
    run(exercise("text"));
}

#[test]
fn no_secret_is_in_what_is_written_as_json() {
    run(exercise("json"));
}
