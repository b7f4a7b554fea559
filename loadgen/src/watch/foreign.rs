//! Reads what other proxies tell of their upstreams: HAProxy's statistics as CSV, the peers of Squid's cache manager, and Envoy's clusters.

use serde::Deserialize;

use super::statistics::{ProxyStatistics, RequestTotals, UpstreamStatistics};

/// Reads HAProxy's page `/stats;csv` (management guide, 9.1). A server is called by its address where the page tells it, else `backend/server`.
///
/// # Errors
/// It is not that page, or names no server.
pub(super) fn haproxy(page: &[u8]) -> Result<ProxyStatistics, String> {
    let page = page.strip_prefix(b"# ").ok_or("the first line does not begin with \"# \"")?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(page);
    let columns = reader.headers().map_err(|error| error.to_string())?.clone();
    let column = |name: &str| columns.iter().position(|one| one == name).ok_or_else(|| format!("no column {name}"));
    let (backend, server, kind) = (column("pxname")?, column("svname")?, column("type")?);
    let (status, weight, picked) = (column("status")?, column("weight")?, column("lbtot")?);
    let (unconnected, unanswered, open) = (column("econ")?, column("eresp")?, column("scur")?);
    let address = column("addr").ok();
    let (mut upstreams, mut current_requests) = (Vec::new(), 0);
    for row in reader.records() {
        let row = row.map_err(|error| error.to_string())?;
        let text = |column: usize| row.get(column).unwrap_or_default();
        // 2 is a server.
        if text(kind) != "2" {
            continue;
        }
        let number = |column: usize| -> Result<u64, String> {
            let (text, server) = (text(column), text(server));
            text.parse().map_err(|error| {
                format!(
                    "{}/{server}: {}: {error} (got {text:?})",
                    row.get(backend).unwrap_or_default(),
                    &columns[column]
                )
            })
        };
        let named = address.map(text).filter(|address| !address.is_empty());
        let url =
            named.map_or_else(|| format!("{}/{}", text(backend), text(server)), |address| format!("http://{address}"));
        let state = text(status);
        current_requests = number(open)?.saturating_add(current_requests);
        upstreams.push(UpstreamStatistics {
            url,
            weight: number(weight)?,
            enabled: !["MAINT", "DRAIN", "NOLB"].iter().any(|word| state.starts_with(word)),
            healthy: state.starts_with("UP") || state.starts_with("no check"),
            probe_in_ms: None,
            total_requests: number(picked)?,
            failed_requests: number(unconnected)?.saturating_add(number(unanswered)?),
        });
    }
    told(upstreams, current_requests)
}

/// Reads the page `server_list` of Squid's cache manager. A peer is called by its host and port.
///
/// # Errors
/// It is not that page, or names no peer.
pub(super) fn squid(page: &[u8]) -> Result<ProxyStatistics, String> {
    let page = String::from_utf8_lossy(page);
    let mut upstreams: Vec<UpstreamStatistics> = Vec::new();
    for line in page.lines() {
        let Some((field, value)) = line.split_once(':').map(|(field, value)| (field.trim(), value.trim())) else {
            continue;
        };
        match (field, upstreams.last_mut()) {
            ("Host", _) => {
                // HOST/HTTP-PORT/ICP-PORT
                let mut parts = value.split('/');
                let place = parts.next().zip(parts.next()).ok_or_else(|| format!("Host: {value:?} has no port"))?;
                upstreams.push(UpstreamStatistics {
                    url: format!("http://{}:{}", place.0, place.1),
                    weight: 1,
                    enabled: true,
                    healthy: true,
                    probe_in_ms: None,
                    total_requests: 0,
                    failed_requests: 0,
                });
            }
            ("Flags", Some(peer)) => {
                let weight = value.split_whitespace().find_map(|flag| flag.strip_prefix("weight="));
                peer.weight =
                    weight.map_or(Ok(1), str::parse).map_err(|error| format!("{}: weight: {error}", peer.url))?;
            }
            ("Status", Some(peer)) => peer.healthy = value == "Up",
            ("FETCHES", Some(peer)) => {
                peer.total_requests = value.parse().map_err(|error| format!("{}: FETCHES: {error}", peer.url))?;
            }
            _ => {}
        }
    }
    told(upstreams, 0)
}

/// Reads Envoy's page `/clusters?format=json`. A host is called by its address.
///
/// # Errors
/// It is not that page, or names no host.
pub(super) fn envoy(page: &[u8]) -> Result<ProxyStatistics, String> {
    let clusters: Clusters = serde_json::from_slice(page).map_err(|error| error.to_string())?;
    let hosts = clusters.cluster_statuses.iter().flat_map(|cluster| &cluster.host_statuses);
    let (mut upstreams, mut current_requests) = (Vec::new(), 0);
    for host in hosts {
        let Socket { address, port_value } = &host.address.socket_address;
        let url = format!("http://{address}:{port_value}");
        let number = |name: &str| -> Result<u64, String> {
            let stat = host.stats.iter().find(|one| one.name == name).ok_or_else(|| format!("{url}: no {name}"))?;
            stat.value.parse().map_err(|error| format!("{url}: {name}: {error} (got {:?})", stat.value))
        };
        let state = &host.health_status;
        let failed = state.failed_active_health_check || state.failed_outlier_check;
        current_requests = number("rq_active")?.saturating_add(current_requests);
        upstreams.push(UpstreamStatistics {
            weight: host.weight,
            enabled: state.eds_health_status != "DRAINING",
            healthy: !failed && matches!(state.eds_health_status.as_str(), "HEALTHY" | "UNKNOWN"),
            probe_in_ms: None,
            total_requests: number("rq_total")?,
            failed_requests: number("rq_error")?.saturating_add(number("cx_connect_fail")?),
            url,
        });
    }
    told(upstreams, current_requests)
}

/// Envoy leaves out what is zero, empty or false, and writes numbers of 64 bits as texts.
#[derive(Deserialize)]
struct Clusters {
    #[serde(default)]
    cluster_statuses: Vec<Cluster>,
}

#[derive(Deserialize)]
struct Cluster {
    #[serde(default)]
    host_statuses: Vec<Host>,
}

#[derive(Deserialize)]
struct Host {
    address: Address,
    #[serde(default)]
    stats: Vec<Stat>,
    #[serde(default)]
    health_status: Health,
    #[serde(default)]
    weight: u64,
}

#[derive(Deserialize)]
struct Address {
    socket_address: Socket,
}

#[derive(Deserialize)]
struct Socket {
    address: String,
    port_value: u16,
}

#[derive(Deserialize)]
struct Stat {
    name: String,
    #[serde(default = "zero")]
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Health {
    eds_health_status: String,
    failed_active_health_check: bool,
    failed_outlier_check: bool,
}

fn zero() -> String {
    "0".to_owned()
}

/// They tell nothing of requests that a verdict could rest on.
fn told(upstream_metrics: Vec<UpstreamStatistics>, current_requests: u64) -> Result<ProxyStatistics, String> {
    if upstream_metrics.is_empty() {
        return Err("it names no upstream".to_owned());
    }
    let total = RequestTotals { success_requests: 0, failed_requests: 0, upstream_metrics };
    Ok(ProxyStatistics { config_epoch: 0, current_requests, rejected_requests: 0, total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_from_the_page_of_haproxy() {
        let page = "# pxname,svname,scur,econ,eresp,status,weight,lbtot,type,addr,last_chk,\n\
            stats,FRONTEND,1,,,OPEN,,,0,,,\n\
            pool,a,2,1,4,UP 1/2,3,40,2,127.0.0.1:3025,\"said \"\"no\"\", twice\",\n\
            pool,b,0,0,0,MAINT,1,7,2,,,\n\
            pool,c,1,0,0,DOWN,1,9,2,,,\n\
            pool,BACKEND,2,0,0,UP,4,,1,,,\n";
        let read = haproxy(page.as_bytes()).unwrap();
        let of =
            |one: &UpstreamStatistics| (one.url.clone(), one.total_requests, one.failed_requests, one.live_weight());
        let upstreams: Vec<_> = read.total.upstream_metrics.iter().map(of).collect();
        let all = [("http://127.0.0.1:3025", 40, 5, 3), ("pool/b", 7, 0, 0), ("pool/c", 9, 0, 0)];
        assert_eq!(upstreams, all.map(|(url, picked, failed, weight)| (url.to_owned(), picked, failed, weight)));
        assert_eq!(read.current_requests, 3);
    }

    #[test]
    fn peers_are_read_from_the_page_of_squid() {
        let page = "\nParent     : a\nHost       : 127.0.0.1/3025/0\nFlags      : no-query weight=3 tls-disable\nStatus     : Up\nFETCHES    : 12\n\
            \nParent     : b\nHost       : up.example/3026/3130\nFlags      : no-query\nStatus     : Down\nFETCHES    : 4\n";
        let read = squid(page.as_bytes()).unwrap();
        let of = |one: &UpstreamStatistics| (one.url.clone(), one.total_requests, one.weight, one.healthy);
        let peers: Vec<_> = read.total.upstream_metrics.iter().map(of).collect();
        let all = [("http://127.0.0.1:3025", 12, 3, true), ("http://up.example:3026", 4, 1, false)];
        assert_eq!(peers, all.map(|(url, picked, weight, up)| (url.to_owned(), picked, weight, up)));
    }

    #[test]
    fn hosts_are_read_from_the_clusters_of_envoy() {
        let host = |port: u16, health: &str| {
            format!(
                r#"{{"address": {{"socket_address": {{"address": "127.0.0.1", "port_value": {port}}}}}, "weight": 3, "health_status": {{{health}}},
                "stats": [{{"name": "cx_connect_fail"}}, {{"name": "rq_error", "value": "2"}}, {{"name": "rq_total", "value": "{port}"}},
                {{"type": "GAUGE", "value": "1", "name": "rq_active"}}]}}"#
            )
        };
        let page = format!(
            r#"{{"cluster_statuses": [{{"name": "x", "host_statuses": [{}, {}]}}, {{"name": "none"}}]}}"#,
            host(3025, r#""eds_health_status": "HEALTHY""#),
            host(3026, r#""eds_health_status": "HEALTHY", "failed_outlier_check": true"#)
        );
        let read = envoy(page.as_bytes()).unwrap();
        let of =
            |one: &UpstreamStatistics| (one.url.clone(), one.total_requests, one.failed_requests, one.live_weight());
        let hosts: Vec<_> = read.total.upstream_metrics.iter().map(of).collect();
        let all = [("http://127.0.0.1:3025", 3025, 2, 3), ("http://127.0.0.1:3026", 3026, 2, 0)];
        assert_eq!(hosts, all.map(|(url, picked, failed, weight)| (url.to_owned(), picked, failed, weight)));
        assert_eq!(read.current_requests, 2);
        assert_eq!(envoy(b"{}").unwrap_err(), "it names no upstream");
        let many = page.replace("\"3026\"", "\"many\"");
        assert!(envoy(many.as_bytes()).unwrap_err().starts_with("http://127.0.0.1:3026: rq_total: "));
    }

    #[test]
    fn another_page_is_refused_with_what_is_wrong() {
        for (page, said) in [
            ("<html>", "the first line"),
            ("# pxname,svname,type\n", "no column status"),
            ("# pxname,svname,scur,econ,eresp,status,weight,lbtot,type\n", "it names no upstream"),
            ("# pxname,svname,scur,econ,eresp,status,weight,lbtot,type\nx,y,0,0,0,UP,1,many,2\n", "x/y: lbtot: "),
        ] {
            let error = haproxy(page.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{page}: {error}");
        }
        assert_eq!(squid(b"There are no neighbors installed.\n").unwrap_err(), "it names no upstream");
        assert!(squid(b"Host : x\n").unwrap_err().contains("has no port"));
        assert!(squid(b"Host : x/1/0\nFETCHES : many\n").unwrap_err().starts_with("http://x:1: FETCHES"));
    }
}
