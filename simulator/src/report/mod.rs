//! This room shows runs: to people as text, Markdown and a page, and to machines as JSON and JUnit.

mod coverage;
mod json;
mod junit;
mod markdown;
mod parity;
mod progress;
mod text;
mod timeline;

pub use coverage::coverage;
pub use json::json;
pub use junit::junit;
pub use markdown::markdown;
pub use parity::{comparison_json, comparison_markdown, comparison_text};
pub use progress::Progress;
pub use text::{failure, laws, line, replay_command};
pub use timeline::page as timeline_page;
