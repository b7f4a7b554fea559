//! Tests arguments, and the commands that need no running proxy.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Place, outcome, proxy};

const SHIPPED: [&str; 4] = ["us.json", "docker.json", "minimal.json", "production.json"];

fn shipped(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(name).display().to_string()
}

/// What the shipped configurations take from the environment.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("PROXY_PASSWORD", "word"),
    ("PROXY_PASSWORD_HASH", "$2b$12$WApznUOJfkEGSmYRfnkrPOr466oFDCaj4b6HY3EXGvfxm43seywhe"),
    ("UPSTREAM_USERNAME", "me"),
    ("UPSTREAM_PASSWORD", "word"),
    ("UPSTREAM_A", "a.test:1"),
    ("UPSTREAM_B", "b.test:1"),
];

#[test]
fn help_and_version_with_one_dash_and_two() {
    for word in ["--help", "-help", "-h"] {
        let (code, text, _) = outcome(&mut proxy(&[word]));
        assert_eq!(code, Some(0), "{word}");
        for named in
            ["--config", "--check", "--schema", "--version", "healthcheck", "reload", "upgrade", "hash-password"]
        {
            assert!(text.contains(named), "{word} does not tell of {named}: {text}");
        }
    }
    for word in ["--version", "-version", "-V"] {
        let version = format!("proxy {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(outcome(&mut proxy(&[word])), (Some(0), version, String::new()), "{word}");
    }
}

#[test]
fn misuse_exits_64_and_says_how_it_is_used() {
    for args in [&["--confg"][..], &["extra"], &["--config"], &["--check", "--schema"], &["--schema", "reload"]] {
        let (code, out, err) = outcome(&mut proxy(args));
        assert_eq!((code, out.as_str()), (Some(64), ""), "{args:?}");
        assert!(err.contains("error:"), "{args:?}: {err}");
    }
}

#[test]
fn the_variable_beats_the_flag_beats_the_default() {
    let checked = |command: &mut assert_cmd::Command| outcome(command).1.lines().next().unwrap().to_owned();
    let place = Place::new();
    let mut bare = proxy(&["--check"]);
    assert_eq!(checked(bare.current_dir(place.folder.path())), "configs/us.json: checking");
    for flag in ["-config", "--config"] {
        assert_eq!(checked(&mut proxy(&["--check", flag, "flag.json"])), "flag.json: checking");
        let mut both = proxy(&["-check", flag, "flag.json"]);
        assert_eq!(checked(both.env("PROXY_CONFIG", "variable.json")), "variable.json: checking");
    }
}

#[test]
fn a_good_configuration_passes_the_check() {
    for name in SHIPPED {
        let mut command = proxy(&["--check", "--config", &shipped(name)]);
        let (code, text, _) = outcome(command.envs(ENVIRONMENT));
        assert_eq!(code, Some(0), "{name}: {text}");
        assert!(text.contains(": ok: "), "{name}: {text}");
    }
    let (code, text, _) = outcome(proxy(&["--check", "--config", &shipped("production.json")]).env_clear());
    assert_eq!(code, Some(78));
    assert!(text.contains("PROXY_PASSWORD_HASH is not set"), "{text}");
}

#[test]
fn a_bad_configuration_is_refused_with_every_problem() {
    let mut place = Place::new();
    place.config["upstream_proxies"] = json!([{ "url": "ftp://a", "weight": -1 }, { "url": "http://:secret@" }]);
    place.config["server"]["listen_adress"] = json!("x");
    place.config["timeouts"] = json!({ "connect": 5 });
    place.write();
    let (code, text, _) = outcome(&mut place.command(&["--check"]));
    assert_eq!(code, Some(78));
    let name = place.file().display().to_string();
    for problem in [
        ": upstream_proxies[0].weight: must be 0 or more (got -1)",
        ": server.listen_adress: unknown field; did you mean \"listen_address\"?",
        ": timeouts.connect: ",
        ": upstream_proxies[0].url: must start with http:// or https://",
        ": upstream_proxies[1].url: the host is empty",
        ": 5 problems to solve",
    ] {
        assert!(text.contains(&format!("{name}{problem}")), "{problem} is not in {text}");
    }
    // Started, it says the same and listens to nobody.
    let (code, out, err) = outcome(&mut place.command(&[]));
    assert_eq!((code, out.as_str()), (Some(78), ""));
    assert!(err.contains("upstream_proxies[0].weight"), "{err}");
    assert!(!place.path("proxy.pid").exists());
}

#[test]
fn a_missing_or_empty_configuration_is_refused() {
    let place = Place::new();
    let (code, text, _) = outcome(&mut place.command(&["--check"]));
    assert_eq!(code, Some(78));
    assert!(text.contains("can't read the file"), "{text}");
    std::fs::write(place.file(), "").unwrap();
    assert_eq!(outcome(&mut place.command(&["--check"])).0, Some(78));
}

#[test]
fn the_schema_is_json_and_names_what_the_shipped_files_use() {
    for word in ["--schema", "-schema"] {
        let (code, text, _) = outcome(&mut proxy(&[word]));
        if word == "-schema" {
            assert_eq!((code, text.as_str()), (Some(64), ""), "one dash is for the words that the original had");
            continue;
        }
        let schema: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(code, Some(0));
        for name in SHIPPED {
            let file: Value = serde_json::from_str(&std::fs::read_to_string(shipped(name)).unwrap()).unwrap();
            assert_fits(&schema, &schema, &file, name);
        }
        assert!(!fits(&schema, &schema, &json!({ "upstream_proxys": [] })), "an unknown field");
    }
}

fn assert_fits(root: &Value, schema: &Value, value: &Value, name: &str) {
    assert!(fits(root, schema, value), "{name} does not fit the schema");
}

/// As much of JSON Schema as says which fields there are and of what type.
fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        return fits(root, root.pointer(reference.trim_start_matches('#')).unwrap(), value);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let of = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !types.is_empty() && !types.contains(&of) {
        return false;
    }
    match value {
        Value::Object(fields) => fields.iter().all(|(name, field)| match &schema["properties"][name] {
            Value::Null => schema["additionalProperties"].is_object() || types.is_empty(),
            known => fits(root, known, field),
        }),
        Value::Array(items) => items.iter().all(|item| fits(root, &schema["items"], item)),
        _ => true,
    }
}

#[test]
fn a_hashed_password_lets_its_owner_in_and_nobody_else() {
    let hash = |password: &str| outcome(proxy(&["hash-password"]).write_stdin(password));
    let (code, line, _) = hash("open sesame\n");
    assert_eq!(code, Some(0));
    assert!(line.starts_with("$argon2id$") && line.ends_with('\n'), "{line}");
    assert_ne!(hash("open sesame\n").1, line, "salted");
    assert_eq!(hash("").0, Some(1), "an empty password is none");

    let mut place = Place::before(crate::support::echo());
    place.config["authentication"] =
        json!({ "enabled": true, "users": [{ "username": "ali", "password": line.trim() }] });
    let _proxy = place.start();
    let ask = |credentials: &str| {
        let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, credentials);
        crate::support::tunnel_with(place.address, &format!("Proxy-Authorization: Basic {basic}\r\n")).0
    };
    assert_eq!(ask("ali:open sesame"), 200);
    assert_eq!(ask("ali:open sesame\n"), 407);
    assert_eq!(ask(&format!("ali:{}", line.trim())), 407, "the hash is no password");
}
