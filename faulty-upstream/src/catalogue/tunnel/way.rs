//! The setting `way`: the direction of a tunnel that a fault works on.

use crate::setting::Setting;

pub(super) const WAY: Setting = Setting::choice("way", &["down", "up", "both"], "down is towards the client");
