//! This room says what a scenario file may say. scenarios/README.md is its reference; [`schema`] is its JSON Schema.

mod by_hand;
mod chance;
mod client;
mod configuration;
mod expectation;
mod file;
mod host;
mod network;
mod reading;
mod seen;
mod timeline;
mod values;

pub use by_hand::{ByHand, WhichTunnels};
pub use chance::Chance;
pub use client::{Actions, Client, Entrance};
pub use configuration::{CA_FILE, ConfigFile};
pub use expectation::{Expectation, FailurePhase, RequestOutcome, UpstreamState};
pub use file::{Aspect, Scenario, Upstream, schema};
pub use host::{HostName, LIVENESS, PROXY, PROXY_PORT, UPSTREAM_PORT, own_client};
pub use network::{Network, NetworkLink, Reorder};
pub use proxy::config::text::Span;
pub use reading::{load, load_scaled, parse};
pub use seen::{Percentiles, Piece, Seen, Turn};
pub use timeline::{Action, Entry};
pub use values::{ClockJump, Notation, Rate, Written};
