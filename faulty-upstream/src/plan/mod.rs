//! Holds fault plans, which say which fault strikes, when, and which requests.

mod decide;
mod entries;
mod entry;
mod parse;
mod when;

pub(crate) use decide::RequestFaults;
pub use entries::Plan;
pub use entry::PlanEntry;
pub use parse::{Problem, parse, parse_entry};
pub use when::When;
