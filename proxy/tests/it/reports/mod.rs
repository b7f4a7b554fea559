//! Tests what the proxy reports: pages, statistics, metrics, attempts and causes, and that no secret is among them.

mod attempts;
mod causes;
mod metrics;
mod pages;
mod requests;
mod secrets;
mod stats;
