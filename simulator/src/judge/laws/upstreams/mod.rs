//! Laws about how upstreams are picked, ejected and restored.

pub(in crate::judge) mod back_off;
pub(in crate::judge) mod blame;
pub(in crate::judge) mod converged;
pub(in crate::judge) mod ejected;
pub(in crate::judge) mod ejects;
pub(in crate::judge) mod in_a_row;
pub(in crate::judge) mod left_alone;
pub(in crate::judge) mod members;
pub(in crate::judge) mod restore;
pub(in crate::judge) mod returned;
pub(in crate::judge) mod shares;
pub(in crate::judge) mod turns;
