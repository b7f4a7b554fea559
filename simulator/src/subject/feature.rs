//! The features of proxies that scenarios may ask for, that laws rest on, or that are compared.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that a proxy may be able to do
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// It reads the requests and replies that it passes on, as RFC 9110 demands of a proxy.
    Http,
    /// It has several upstreams and shares requests among them.
    SeveralUpstreams,
    /// It shares requests by weights other than 1.
    Weights,
    /// Whole rounds of its schedule reach each upstream exactly as often as its weight says.
    ExactShares,
    /// It tries another upstream when one can't be reached.
    Failover,
    /// It tries another upstream when one answers a CONNECT with an error.
    ConnectFailoverByReply,
    /// It tries another upstream when one answers a plain request with an error.
    PlainFailoverByReply,
    /// It leaves an upstream alone that has failed in a row, for ever longer.
    BackOff,
    /// It takes requests for plain HTTP.
    PlainHttp,
    /// It speaks TLS to upstreams and checks their certificates.
    HttpsUpstreams,
    /// It shows each upstream credentials of its own.
    UpstreamCredentials,
    /// It asks clients for credentials.
    ClientAuthentication,
    /// It serves only so many connections at once.
    ConnectionLimit,
    /// It turns clients away that don't send a whole head in time.
    HeaderTimeout,
    /// It says by `/healthz` and `/readyz` how it is.
    HealthPages,
    /// It takes another configuration while it runs, without ending a request.
    Reload,
    /// It finishes what runs when it is told to stop.
    Drain,
}

impl Feature {
    /// All features, in the order in which they are shown.
    pub const ALL: [Feature; 17] = [
        Feature::Http,
        Feature::SeveralUpstreams,
        Feature::Weights,
        Feature::ExactShares,
        Feature::Failover,
        Feature::ConnectFailoverByReply,
        Feature::PlainFailoverByReply,
        Feature::BackOff,
        Feature::PlainHttp,
        Feature::HttpsUpstreams,
        Feature::UpstreamCredentials,
        Feature::ClientAuthentication,
        Feature::ConnectionLimit,
        Feature::HeaderTimeout,
        Feature::HealthPages,
        Feature::Reload,
        Feature::Drain,
    ];

    /// The word for it in a subject's file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Feature::Http => "http",
            Feature::SeveralUpstreams => "several-upstreams",
            Feature::Weights => "weights",
            Feature::ExactShares => "exact-shares",
            Feature::Failover => "failover",
            Feature::ConnectFailoverByReply => "connect-failover-by-reply",
            Feature::PlainFailoverByReply => "plain-failover-by-reply",
            Feature::BackOff => "back-off",
            Feature::PlainHttp => "plain-http",
            Feature::HttpsUpstreams => "https-upstreams",
            Feature::UpstreamCredentials => "upstream-credentials",
            Feature::ClientAuthentication => "client-authentication",
            Feature::ConnectionLimit => "connection-limit",
            Feature::HeaderTimeout => "header-timeout",
            Feature::HealthPages => "health-pages",
            Feature::Reload => "reload",
            Feature::Drain => "drain",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feature_is_listed_once_and_written_as_in_files() {
        let words = Feature::ALL.map(|feature| serde_json::to_value(feature).unwrap());
        assert_eq!(words.to_vec(), Feature::ALL.map(|feature| serde_json::json!(feature.as_str())).to_vec());
        assert!(Feature::ALL.is_sorted());
    }
}
