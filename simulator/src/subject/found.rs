//! Subjects are found by name among those that are shipped, or as a folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folder::{FILE, NETDRIFT, Subject};

/// Where shipped subjects are, from the root of the tree.
const SHIPPED: &str = "simulator/subjects";

/// The subject called `name`, or that of the folder `name`.
///
/// # Errors
/// There is none, or something is wrong with its files.
pub fn named(name: &str) -> Result<Arc<Subject>, String> {
    if name == NETDRIFT {
        return Ok(Subject::netdrift());
    }
    let read = |folder: &Path| Subject::read(name, folder).map(Arc::new).map_err(|problems| problems.to_string());
    if Path::new(name).join(FILE).is_file() {
        return read(Path::new(name));
    }
    let shipped = folder();
    match shipped.iter().map(|folder| folder.join(name)).find(|folder| folder.join(FILE).is_file()) {
        Some(folder) => read(&folder),
        None => {
            let known = shipped.map(|folder| names(&folder)).unwrap_or_default();
            Err(format!("{name}: no such subject: neither a folder with a {FILE}, nor one of: {}", known.join(", ")))
        }
    }
}

/// All subjects that are shipped, netdrift first.
///
/// # Errors
/// There are none, or something is wrong with the files of one.
pub fn shipped() -> Result<Vec<Arc<Subject>>, String> {
    let folder = folder().ok_or_else(|| format!("no folder {SHIPPED} here, nor above the working folder"))?;
    let others = names(&folder).into_iter().filter(|name| name != NETDRIFT);
    std::iter::once(NETDRIFT.to_owned()).chain(others).map(|name| named(&name)).collect()
}

/// The folder of shipped subjects: below the working folder, or one above it, or above this binary.
fn folder() -> Option<PathBuf> {
    let starts = [std::env::current_dir(), std::env::current_exe()];
    let above = starts.iter().flatten().flat_map(|start| start.ancestors().map(Path::to_owned));
    above.map(|folder| folder.join(SHIPPED)).find(|folder| folder.is_dir())
}

/// The names of the subjects in `folder`, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let subjects = entries.filter(|entry| entry.path().join(FILE).is_file());
    let mut names: Vec<String> = subjects.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::scenario::{self, ConfigFile, HostName, PROXY};
    use crate::subject::{Feature, Place, settings};

    /// Every shipped subject: its files are read, its commands and its configuration can be made of every value that there is.
    #[test]
    fn shipped_subjects_are_sound() {
        let all = shipped().unwrap();
        let names: Vec<&str> = all.iter().map(|subject| subject.name()).collect();
        assert_eq!(
            names,
            ["netdrift", "3proxy", "apache", "envoy", "haproxy", "nginx", "sing-box", "squid", "tinyproxy"]
        );
        let story = r#"{"name": "x", "story": "x", "duration": "1s", "upstreams": [{"name": "a"}, {"name": "b", "auth": "u:p"},
            {"name": "c", "tls": true}], "clients": [{"name": "k", "do": "echo", "requests": 1}]}"#;
        let config = ConfigFile::first(&scenario::parse(story).unwrap(), PROXY).config.unwrap();
        let hosts = ["a", "b", "c"].map(HostName::new).into_iter();
        let hosts: BTreeMap<_, _> = (1..).zip(hosts).map(|(last, name)| ([127, 0, 0, last].into(), name)).collect();
        let folder = Path::new("/x");
        let place = Place { listen: [127, 0, 0, 9].into(), folder, proxy: Path::new("/bin/true"), config: folder };
        let values = settings(&config, &hosts, &place);
        for subject in all {
            let file = subject.file();
            let rendered = subject.configuration(&values).unwrap();
            assert_eq!(rendered.is_none(), subject.name() == NETDRIFT);
            if let Some((_, text)) = rendered {
                assert!(text.contains("127.0.0.9") && text.contains("127.0.0.1"), "{}:\n{text}", subject.name());
                assert!(subject.lacks(Feature::SeveralUpstreams).is_some() || text.contains("127.0.0.3"), "{text}");
            }
            for words in [Some(&file.start), Some(&file.version), file.ready.as_ref()].into_iter().flatten() {
                let made = subject.command(words, &values);
                let installed = !made.as_ref().is_err_and(|error| error.contains("not installed"));
                assert!(made.is_ok() || !installed, "{}: {made:?}", subject.name());
            }
        }
    }

    /// What a subject claims by saying nothing has to come from its template: with another value there it is configured in another way.
    #[test]
    fn what_a_subject_claims_is_bound_to_a_value_of_its_template() {
        let span = |seconds: u64| json!({"ms": seconds * 1000, "s": seconds});
        let upstream = |last: u64| {
            json!({"name": format!("u{last}"), "address": format!("127.0.0.{last}"), "port": 8080, "weight": 1,
            "tls": false, "user": null, "password": null, "basic": null})
        };
        let names =
            ["connect", "reply", "request", "header", "keep_alive", "body", "tunnel", "pool", "back_off", "drain"];
        let timeouts: serde_json::Map<_, _> = names.map(|name| (name.to_owned(), span(3))).into_iter().collect();
        let base = json!({"upstreams": [upstream(1), upstream(2)], "users": [], "listen": {"address": "127.0.0.9", "port": 3130},
            "attempts": 3, "failures": 3, "max_connections": 500, "folder": "/x", "config": "/x/y", "ca_file": "/x/ca.pem", "timeouts": timeouts});
        type Change = fn(&mut serde_json::Value);
        let changes: [(Feature, Change); 8] = [
            (Feature::SeveralUpstreams, |all| drop(all["upstreams"].as_array_mut().unwrap().pop())),
            (Feature::Weights, |all| all["upstreams"][0]["weight"] = json!(7)),
            (Feature::HttpsUpstreams, |all| all["upstreams"][0]["tls"] = json!(true)),
            (Feature::UpstreamCredentials, |all| {
                let own = json!({"user": "u", "password": "p", "basic": "dTpw"});
                own.as_object().unwrap().iter().for_each(|(field, value)| all["upstreams"][0][field] = value.clone());
            }),
            (Feature::ClientAuthentication, |all| all["users"] = json!([{"name": "k", "password": "p", "sha1": "x"}])),
            (Feature::ConnectionLimit, |all| all["max_connections"] = json!(10)),
            (Feature::HeaderTimeout, |all| all["timeouts"]["header"] = json!({"ms": 9000, "s": 9})),
            (Feature::Failover, |all| all["attempts"] = json!(2)),
        ];
        for subject in shipped().unwrap().into_iter().filter(|subject| !subject.tells()) {
            let configured = |values: &serde_json::Value| subject.configuration(values).unwrap().unwrap().1;
            for (feature, change) in changes.iter().filter(|(feature, _)| subject.lacks(*feature).is_none()) {
                let mut other = base.clone();
                change(&mut other);
                assert_ne!(configured(&base), configured(&other), "{} claims {feature}", subject.name());
            }
        }
    }

    /// 3proxy takes a weight of 1 to 1000, and begins another group, a further hop, where one has reached 1000.
    #[test]
    fn the_parents_of_3proxy_are_one_group_whatever_the_weights() {
        let subject = named("3proxy").unwrap();
        let configured = |weights: &[u32]| {
            let upstreams: Vec<_> = (1..).zip(weights).map(|(last, weight)| {
                json!({"address": format!("127.0.0.{last}"), "port": 8080, "weight": weight, "user": "u", "password": "a\"b"})
            }).collect();
            let span = json!({"ms": 1500, "s": 2});
            let timeouts = ["header", "reply", "tunnel", "connect"].map(|name| (name.to_owned(), span.clone()));
            let values = json!({"upstreams": upstreams, "users": [{"name": "k", "password": "p q"}], "listen": {"address": "127.0.0.9", "port": 3130}, "attempts": 3,
                "max_connections": null, "folder": "/x", "timeouts": serde_json::Map::from_iter(timeouts)});
            subject.configuration(&values).unwrap().unwrap().1
        };
        let parents = |weights: &[u32]| -> Vec<u32> {
            let text = configured(weights);
            let lines = text.lines().filter_map(|line| line.strip_prefix("parent "));
            lines.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
        };
        assert_eq!(parents(&[7]), [1000]);
        assert_eq!(parents(&[1, 1, 1]), [333, 333, 334]);
        assert_eq!(parents(&[3, 1]), [750, 250]);
        assert_eq!(parents(&[1, 10_000]), [1000], "less than a thousandth");
        for weights in [vec![1; 20], vec![5, 3, 2, 1], (1..=60).collect(), vec![10_000, 1, 9_999, 17]] {
            let made = parents(&weights);
            assert_eq!(made.iter().sum::<u32>(), 1000, "{weights:?}");
            let all: u32 = weights.iter().sum();
            if made.len() == weights.len() {
                let apart = |(made, weight): (&u32, &u32)| (made * all).abs_diff(weight * 1000) < all;
                assert!(made.iter().zip(&weights).all(apart), "{weights:?}: {made:?}");
            }
        }
        let text = configured(&[1]);
        for lines in [
            "\nusers \"k:CL:p q\"\nauth strong\nallow *\n",
            "\nparent 1000 http 127.0.0.1 8080 \"u\" \"a\"\"b\"\n",
            "\nproxy -a -i127.0.0.9 -p3130\n",
        ] {
            assert!(text.contains(lines), "{lines}: {text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_folder_is_told_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().to_str().unwrap();
        assert!(named("no-such-proxy").unwrap_err().contains("nor one of: "));
        let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        let subject = |start: &str| {
            json!({"title": "X", "about": "x", "install": "x", "template": "x.conf", "start": [start], "version": ["x"],
                "comes_back_within": "1s", "lacks": {"reload": "x"}})
            .to_string()
        };
        write(FILE, &subject("{{ oh"));
        assert!(named(name).unwrap_err().contains("subject.json: start[0]: "), "{:?}", named(name));
        write(FILE, &subject("x"));
        assert!(named(name).unwrap_err().contains("x.conf: can't read the file"), "{:?}", named(name));
        write("x.conf", "{% for %}");
        assert!(named(name).unwrap_err().contains("x.conf: "), "{:?}", named(name));
        write("x.conf", "listen {{ lisen }}\n");
        let read = named(name).unwrap();
        assert!(read.configuration(&json!({ "listen": "x" })).unwrap_err().contains("x.conf: "), "an unknown value");
        assert_eq!(read.configuration(&json!({ "lisen": "x" })).unwrap(), Some(("x.conf", "listen x\n".to_owned())));
        let missing = read.command(&["no-such-program".to_owned()], &json!({})).unwrap_err();
        assert_eq!(missing, "no-such-program: not installed; x");
    }
}
