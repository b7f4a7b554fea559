//! Who may come in, and as whom requests go on.

pub(in crate::judge) mod credentials;
pub(in crate::judge) mod identity;
pub(in crate::judge) mod outsiders;
pub(in crate::judge) mod users;
