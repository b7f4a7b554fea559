//! What all of one proxy share, and the settings that a request began with.

mod connections;
mod settings;
mod shared;

pub(crate) use connections::{ConnectionSlot, Connections};
pub(crate) use settings::Settings;
pub(crate) use shared::Context;
pub use shared::{Health, Status};
