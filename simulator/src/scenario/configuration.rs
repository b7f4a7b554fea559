//! A scenario holds the proxy's configuration in the proxy's own format; fields that every scenario would repeat are filled in.

use std::io;

use mock_upstreams::tls::authority_pem;
use proxy::config::{self, Config, Lookup};
use serde_json::{Map, Value as Json, json};

use super::file::Scenario;
use super::host::{PROXY_PORT, UPSTREAM_PORT};

/// The file with the authority that signs the certificates of upstreams. It stands beside the proxy's configuration.
pub const CA_FILE: &str = "upstreams.pem";

/// A simulated proxy has no environment variables and no files but [`CA_FILE`], so that a scenario file is all that a run needs.
struct CaFile;

impl Lookup for CaFile {
    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, path: &str) -> io::Result<Vec<u8>> {
        if path == CA_FILE {
            return Ok(authority_pem()?.as_bytes().to_vec());
        }
        Err(io::Error::new(io::ErrorKind::NotFound, format!("a simulated proxy has no file but {CA_FILE}")))
    }
}

/// A configuration file, and what the proxy says of it.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// The text of the file.
    pub text: String,
    /// The configuration, or everything that is wrong with the file.
    pub config: Result<Config, String>,
}

impl ConfigFile {
    /// Makes a file with exactly this text.
    pub fn new(text: String) -> Self {
        let config = config::parse("proxy.json", text.as_bytes(), &CaFile).map_err(|problems| problems.to_string());
        ConfigFile { text, config }
    }

    /// Makes the file that the proxy on `host` starts with.
    pub fn first(scenario: &Scenario, host: &str) -> Self {
        ConfigFile::complete(scenario.configuration(host), scenario)
    }

    /// Makes a file with the fields of `written`. Fields that it leaves out are filled in.
    pub fn complete(written: &Json, scenario: &Scenario) -> Self {
        let mut json = if written.is_null() { json!({}) } else { written.clone() };
        if let Some(object) = json.as_object_mut() {
            let upstreams = scenario.upstreams.iter().map(|upstream| {
                let user = upstream.auth.as_ref().map_or(String::new(), |pair| format!("{pair}@"));
                let scheme = if upstream.tls { "https" } else { "http" };
                json!({ "url": format!("{scheme}://{user}{}:{UPSTREAM_PORT}", upstream.name) })
            });
            let entries = object.entry("upstream_proxies").or_insert_with(|| upstreams.collect());
            for entry in entries.as_array_mut().into_iter().flatten().filter_map(Json::as_object_mut) {
                // The machine's own roots differ from one to another.
                if entry.get("url").and_then(Json::as_str).is_some_and(speaks_tls) {
                    fill(entry, "tls", "ca_file", json!(CA_FILE));
                }
            }
            fill(object, "server", "listen_address", json!(format!("0.0.0.0:{PROXY_PORT}")));
            fill(object, "server", "allow_unauthenticated_clients", json!(true));
            fill(object, "server", "pid_file", json!(""));
            // The proxy's default depends on the machine's limit of open files, and a run must not.
            fill(object, "limits", "max_connections", json!(100_000));
        }
        ConfigFile::new(json.to_string())
    }
}

/// Whether the proxy speaks TLS to the upstream with that URL.
fn speaks_tls(url: &str) -> bool {
    url.split_once("://").is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("https"))
}

fn fill(object: &mut Map<String, Json>, section: &str, field: &str, value: Json) {
    if let Some(section) = object.entry(section).or_insert_with(|| json!({})).as_object_mut() {
        section.entry(field).or_insert(value);
    }
}
