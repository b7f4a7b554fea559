//! This room shows runs: to people as text, Markdown and a page, and to machines as JSON and JUnit.

mod annotations;
mod coverage;
mod fidelity;
mod json;
mod junit;
mod markdown;
mod parity;
mod printable;
mod progress;
mod proxies;
mod text;
mod timeline;
mod what_if;

pub use annotations::{github, github_problems};
pub use coverage::coverage;
pub use fidelity::{fidelity, fidelity_json, fidelity_of, live_fidelity};
pub use json::json;
pub use junit::junit;
pub use markdown::markdown;
pub use parity::{comparison_json, comparison_markdown, comparison_text};
pub use printable::{one_line, printable};
pub use progress::Progress;
pub use proxies::{conformance, conformance_junit, matrix_cell, matrix_page};
pub use text::{failure, laws, line, replay_command};
pub use timeline::page as timeline_page;
pub use what_if::{page as what_if_page, what_if, what_if_json};
