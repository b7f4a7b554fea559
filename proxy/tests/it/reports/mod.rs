//! Tests what the proxy reports: pages, statistics and causes, and that no secret is among them.

mod causes;
mod pages;
mod secrets;
mod stats;
