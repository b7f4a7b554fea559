//! What a day was like: what was seen, how each upstream behaved, and what clients asked for.

mod behaviour;
mod clients;
mod plan;
mod sight;
mod thin;

pub(in crate::incident) use behaviour::{Behaviour, Came, Outage};
pub(in crate::incident) use clients::{Asked, Does, MOST_BYTES, NamesOf, clients, milliseconds};
pub(in crate::incident) use plan::{can_play, plan};
pub(in crate::incident) use sight::{Sight, begun, host_of};
pub(in crate::incident) use thin::{Thin, Thinned};
