//! Tests what the proxy reports: pages, the dashboard, statistics, metrics, attempts and causes, and that no secret is among them.

mod agree;
mod attempts;
mod causes;
mod dashboard;
mod metrics;
mod pages;
mod requests;
mod secrets;
mod stats;
mod times;
