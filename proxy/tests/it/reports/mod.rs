//! Tests what the proxy reports: pages, statistics, metrics and causes, and that no secret is among them.

mod causes;
mod metrics;
mod pages;
mod secrets;
mod stats;
