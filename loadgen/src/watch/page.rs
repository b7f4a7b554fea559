//! Where the proxy's statistics stand, and whose they are: ours, HAProxy's, Squid's or Envoy's.

use clap::ValueEnum;

use super::foreign;
use super::statistics::ProxyStatistics;
use crate::sockets::{get, get_json};

/// Whose statistics are read, and where they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatisticsPage {
    /// Whose they are.
    pub of: StatisticsOf,
    /// `host:port`, where it is not the proxy's own address.
    pub address: Option<String>,
    /// The path.
    pub path: String,
}

/// A proxy whose statistics can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum StatisticsOf {
    /// Ours: `/stats`.
    #[default]
    Netdrift,
    /// HAProxy: its statistics as CSV, `/stats;csv`.
    Haproxy,
    /// Squid: the list of peers of its cache manager, `/squid-internal-mgr/server_list`.
    Squid,
    /// Envoy: the hosts of its clusters, `/clusters?format=json` at its admin address.
    Envoy,
}

impl StatisticsOf {
    /// Where they stand, unless they are configured to stand elsewhere.
    pub const fn usual_path(self) -> &'static str {
        match self {
            StatisticsOf::Netdrift => "/stats",
            StatisticsOf::Haproxy => "/stats;csv",
            StatisticsOf::Squid => "/squid-internal-mgr/server_list",
            StatisticsOf::Envoy => "/clusters?format=json",
        }
    }

    /// The name of the proxy, as it stands on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            StatisticsOf::Netdrift => "netdrift",
            StatisticsOf::Haproxy => "haproxy",
            StatisticsOf::Squid => "squid",
            StatisticsOf::Envoy => "envoy",
        }
    }

    /// Whether they count requests by how they ended, as the ledger has to know.
    pub const fn counts_requests(self) -> bool {
        matches!(self, StatisticsOf::Netdrift)
    }
}

impl StatisticsPage {
    /// Its URL, for a proxy at `proxy`.
    pub(crate) fn url(&self, proxy: &str) -> String {
        format!("http://{}{}", self.at(proxy), self.path)
    }

    fn at<'a>(&'a self, proxy: &'a str) -> &'a str {
        self.address.as_deref().unwrap_or(proxy)
    }

    /// Asks the proxy at `proxy` for its statistics; `authorization` is the token of Basic credentials.
    pub(crate) async fn ask(&self, proxy: &str, authorization: Option<&str>) -> Result<ProxyStatistics, String> {
        let wrong = |what: &str, error: String| format!("{} does not answer with {what}: {error}", self.url(proxy));
        match self.of {
            StatisticsOf::Netdrift => {
                get_json(self.at(proxy), &self.path, authorization, "statistics of netdrift").await
            }
            StatisticsOf::Haproxy => foreign::haproxy(&get(self.at(proxy), &self.path, authorization).await?)
                .map_err(|error| wrong("statistics of HAProxy", error)),
            StatisticsOf::Squid => foreign::squid(&get(self.at(proxy), &self.path, authorization).await?)
                .map_err(|error| wrong("the peers of Squid", error)),
            StatisticsOf::Envoy => foreign::envoy(&get(self.at(proxy), &self.path, authorization).await?)
                .map_err(|error| wrong("the clusters of Envoy", error)),
        }
    }
}
