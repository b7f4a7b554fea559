//! What follows the head of a reply to CONNECT.

pub(in crate::catalogue) mod early_200_reset;
pub(in crate::catalogue) mod glued;
pub(in crate::catalogue) mod stalled_tunnel;
pub(in crate::catalogue) mod two_replies;
