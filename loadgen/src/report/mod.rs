//! Holds what a load run found, and writes it in several forms.

pub mod compare;
mod escape;
mod files;
pub mod html;
pub mod junit;
mod latency_summary;
mod load_report;
pub mod markdown;
mod plot;
pub mod text;
mod window;

pub use files::ReportFiles;
pub use latency_summary::LatencySummary;
pub use load_report::{ActionCount, Effort, LoadReport};
pub use window::Window;
