//! Shows that no file causes a panic, and that no message has a secret in it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::*;
use super::{World, fields, parse_json};

/// JSON of any shape, with the names and values that matter made likely.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "(http|https)://[a-z0-9:@%/.\\[\\]]{0,20}".prop_map(Value::from),
        "\\$?\\$\\{(env|file)?:?[A-Za-z]{0,4}\\}?".prop_map(Value::from),
        "[0-9]{0,22}(ms|s|m|h|y)?".prop_map(Value::from),
    ];
    let name = prop_oneof![
        proptest::sample::select(fields()).prop_map(|(path, _)| path.rsplit('.').next().unwrap_or_default().to_owned()),
        "\\PC{0,6}",
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A configuration that is valid but for at most one value anywhere in it, replaced by `broken`.
fn with_one_broken(mut config: Value, at: usize, broken: Value) -> Value {
    fn leaves<'a>(value: &'a mut Value, into: &mut Vec<&'a mut Value>) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| leaves(item, into)),
            Value::Object(fields) => fields.values_mut().for_each(|field| leaves(field, into)),
            leaf => into.push(leaf),
        }
    }
    let mut all = Vec::new();
    leaves(&mut config, &mut all);
    let at = at % all.len();
    *all[at] = broken;
    config
}

proptest! {
    #[test]
    fn no_json_makes_it_panic(value in any_json()) {
        match parse_json(&value) {
            Ok(config) => prop_assert!(!config.upstreams.is_empty()),
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(parse("t.json", &bytes, &World::default()).is_err());
    }

    #[test]
    fn no_secret_gets_out(
        marks in "[#%/@:$ {}\\\\\"a-z0-9]{0,3}",
        at in any::<usize>(),
        broken in any_json(),
        breaks in any::<bool>(),
        misplaced in any::<bool>(),
        from_env in any::<bool>(),
    ) {
        let secret = format!("HUNTER2{marks}");
        let secret_value = if from_env { "${env:S}".to_owned() } else { secret.clone() };
        let mut config = json!({
            "server": { "name": "n", "listen_address": "127.0.0.1:1" },
            "authentication": { "enabled": true, "users": [
                { "username": "u", "password": secret_value },
                { "username": "v", "password": format!("$2b$12${secret_value}") },
            ] },
            "upstream_proxies": [{
                "url": format!("http://u:{secret_value}@a:1"),
                "connect_headers": { "X-Key": secret_value },
            }],
        });
        if misplaced {
            config["authentication"]["users"] = json!(format!("u:{secret_value}"));
        }
        if breaks {
            config = with_one_broken(config, at, broken);
        }
        let lookup = World { env: [("S", secret)].into(), ..World::default() };
        let printed = match parse("t.json", config.to_string().as_bytes(), &lookup) {
            Ok(config) => format!("{config:?}"),
            Err(problems) => format!("{problems}{problems:?}"),
        };
        prop_assert!(!printed.contains("HUNTER2"), "{}", printed);
    }
}
