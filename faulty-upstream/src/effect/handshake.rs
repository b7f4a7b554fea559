//! Describes what a fault does to a TLS handshake, as plain data.

use mock_upstreams::tls::Flaw;

use super::reply::Reply;

/// What is done to one handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// The certificate has this flaw.
    Flawed(Flaw),
    /// This comes in the place of our side of it. No tunnel follows.
    Answered(Reply),
    /// Our side is ended in order behind so many bytes.
    Cut(u64),
}
