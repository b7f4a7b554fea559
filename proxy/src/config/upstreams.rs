//! Reads the `upstream_proxies` section, and checks the rules over the pool as a whole.

mod by_hand;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use super::reading::Reading;
use super::url::ProxyUrl;
use super::{Secret, Transport, Upstream, WarmConnections, raw};
use crate::core::schedule::Shares;
use crate::core::upstream::{Member, UpstreamId, Weight};
use crate::http::authority::Host;
use crate::http::head::is_token;

pub use by_hand::{ByHand, HandSetting};

/// Fields that a CONNECT of ours already has, or that change how it is read.
const RESERVED: [&str; 14] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "proxy-status",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

pub(super) fn read(raw: Vec<Option<raw::Upstream>>, reading: &mut Reading<'_>) -> Vec<Arc<Upstream>> {
    let mut seen = BTreeMap::new();
    let mut upstreams = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let at = format!("upstream_proxies[{index}]");
        let Some(upstream) = raw.and_then(|raw| read_one(raw, &at, reading)) else { continue };
        if let Some(first) = seen.insert(upstream.key(), index) {
            let what =
                format!("is the same upstream as upstream_proxies[{first}] ({}); give one the sum", upstream.url);
            reading.problems.add(format!("{at}.url"), what);
        }
        upstreams.push(upstream);
    }
    name_all(&mut upstreams);
    let upstreams: Vec<_> = upstreams.into_iter().map(Arc::new).collect();
    if !reading.problems.touch("upstream_proxies") {
        check_pool(&upstreams, reading);
    }
    upstreams
}

/// Calls each by the shortest of its names that no other has: its tag, its URL, its URL with the user name that tells
/// it from others there.
fn name_all(upstreams: &mut [Upstream]) {
    let names = |upstream: &Upstream| -> Vec<String> {
        let user = upstream.credentials.as_ref().map(|credentials| {
            let user = utf8_percent_encode(&credentials.username, USER).to_string();
            upstream.url.replacen("://", &format!("://{user}@"), 1)
        });
        upstream.tag.iter().cloned().chain([upstream.url.clone()]).chain(user).collect()
    };
    let mut holders: BTreeMap<String, usize> = BTreeMap::new();
    for name in upstreams.iter().flat_map(|upstream| names(upstream).into_iter().collect::<BTreeSet<_>>()) {
        *holders.entry(name).or_default() += 1;
    }
    for upstream in upstreams {
        let mut names = names(upstream);
        // The last one says all that makes an upstream another one, so it is never two upstreams'.
        let unique = names.iter().position(|name| holders.get(name) == Some(&1)).unwrap_or(names.len() - 1);
        upstream.name = names.swap_remove(unique);
    }
}

/// What stands as itself in the user name of a URL (RFC 3986 section 2.3).
const USER: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn check_pool(upstreams: &[Arc<Upstream>], reading: &mut Reading<'_>) {
    if upstreams.iter().all(|upstream| upstream.weight.is_zero()) {
        reading.problems.add("upstream_proxies", "needs at least one upstream that is enabled with a weight above 0");
        return;
    }
    let members =
        (0..).zip(upstreams).map(|(id, upstream)| Member { id: UpstreamId::new(id), weight: upstream.weight });
    if let Err(error) = Shares::new(&members.collect::<Vec<_>>()) {
        reading.problems.add("upstream_proxies", error.to_string());
    }
}

fn read_one(raw: raw::Upstream, at: &str, reading: &mut Reading<'_>) -> Option<Upstream> {
    let url_at = format!("{at}.url");
    let url = raw.url.and_then(|url| reading.good(&url_at, ProxyUrl::read(url.expose())));
    let weight = Weight::new(raw.weight);
    if raw.tag.as_ref().is_some_and(|tag| tag.contains(char::is_control)) {
        reading.problems.add(format!("{at}.tag"), "must not contain control characters");
    }
    let mut connect_headers = Vec::new();
    let mut names = BTreeSet::new();
    for (name, value) in raw.connect_headers {
        let fresh = names.insert(name.to_ascii_lowercase());
        let header = check_header(&name, &value, fresh).map(|()| (name, value));
        connect_headers.extend(reading.good(&format!("{at}.connect_headers"), header));
    }
    let (url, weight) = (url?, weight?);
    let transport = read_transport(raw.tls, &url, at, reading);
    if !url.port_given {
        reading.warnings.push(format!("{url_at}: no port given, so {} is used", url.authority.port));
    }
    if reading.listen.is_some_and(|listen| leads_to(&url, listen)) {
        reading.warnings.push(format!("{url_at}: is this proxy's own listen_address: requests to it end as loops"));
    }
    Some(Upstream {
        // Given once all are known.
        name: String::new(),
        url: url.shown(),
        host: url.authority.host.bare(),
        port: url.authority.port,
        transport: transport?,
        credentials: url.credentials,
        weight: if raw.enabled { weight } else { Weight::ZERO },
        set_weight: weight,
        enabled: raw.enabled,
        by_hand: None,
        // It would be a name that nobody sees.
        tag: raw.tag.filter(|tag| !tag.trim().is_empty()),
        note: raw.note,
        connect_headers,
        warm_connections: match raw.warm_connections {
            Some(warm) => Some(WarmConnections { max: NonZeroUsize::new(warm.max)?, max_age: warm.max_age.get() }),
            None => None,
        },
    })
}

/// Whether the upstream is ourselves, as far as can be seen without resolving names.
fn leads_to(url: &ProxyUrl, listen: SocketAddr) -> bool {
    let ip = match &url.authority.host {
        Host::Name(name) if name == "localhost" => Some(IpAddr::from(Ipv4Addr::LOCALHOST)),
        host => host.ip(),
    };
    let reached = |ip: IpAddr| ip == listen.ip() || (listen.ip().is_unspecified() && ip.is_loopback());
    url.authority.port == listen.port() && ip.is_some_and(reached)
}

fn check_header(name: &str, value: &Secret, fresh: bool) -> Result<(), String> {
    if !is_token(name.as_bytes()) {
        Err(format!("{name:?} is not a field name: letters, digits and - _ . ! # $ % & ' * + ^ ` | ~ only"))
    } else if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
        Err(format!("{name} can't be set: it is the proxy's own"))
    } else if !fresh {
        Err(format!("{name} stands more than once; capitals make no difference"))
    } else if value.expose().contains(char::is_control) {
        Err(format!("the value of {name} must not contain control characters"))
    } else {
        Ok(())
    }
}

fn read_transport(raw: Option<raw::Tls>, url: &ProxyUrl, at: &str, reading: &mut Reading<'_>) -> Option<Transport> {
    if !url.tls {
        if raw.is_some() {
            reading.problems.add(format!("{at}.tls"), "needs a url that starts with https://");
        }
        return Some(Transport::Plain);
    }
    let raw = raw.unwrap_or_default();
    let (name, name_at) = match raw.server_name {
        Some(name) => (name, format!("{at}.tls.server_name")),
        None => (url.authority.host.bare(), format!("{at}.url")),
    };
    let named = match ServerName::try_from(name.as_str()) {
        Ok(_) => Ok(name),
        Err(_) => Err("a certificate can't carry this name: it must be a DNS name or an IP address".to_owned()),
    };
    let server_name = reading.good(&name_at, named);
    let roots = match raw.ca_file {
        None => Some(None),
        Some(path) => {
            let roots = read_roots(&path, reading);
            reading.good(&format!("{at}.tls.ca_file"), roots).map(Some)
        }
    };
    Some(Transport::Tls { server_name: server_name?, roots: roots? })
}

/// The file's bytes, once every certificate in it has proven usable as a root.
fn read_roots(path: &str, reading: &mut Reading<'_>) -> Result<Arc<[u8]>, String> {
    let bytes = reading.lookup.file(path).map_err(|err| format!("can't read the file {path:?}: {err}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|err| format!("the file {path:?} is not well-formed PEM: {err}"))?;
        roots.add(certificate).map_err(|err| format!("a certificate in {path:?} can't be used as a root: {err}"))?;
    }
    if roots.is_empty() {
        return Err(format!("the file {path:?} holds no PEM certificate"));
    }
    Ok(bytes.into())
}
