//! Reads the commands by which an operator sets an upstream of the running proxy, or closes tunnels of it.

use std::time::Duration;

use clap::Subcommand;

use super::running::Running;
use crate::event::RequestId;
use crate::proxy::{Criteria, Order, TunnelFilter};

#[derive(Subcommand)]
pub(super) enum Steering {
    /// It takes no requests until it is enabled; what is open through it goes on
    Disable(Steered),
    /// It takes requests again
    Enable(Steered),
    /// As disable, and connections to it close once nobody uses them
    Drain(Steered),
    /// As if its failures had ejected it: a probe lets it back in
    Eject(Steered),
    /// An ejected one takes requests again without a probe
    Restore(Steered),
    /// Its share of first picks from now on
    Weight {
        #[command(flatten)]
        steered: Steered,
        /// 0 to 10000
        #[arg(value_name = "N")]
        weight: u32,
    },
}

#[derive(clap::Args)]
pub(super) struct Steered {
    #[command(flatten)]
    running: Running,
    /// The upstream, as `proxy upstreams` calls it
    name: String,
}

#[derive(Subcommand)]
pub(super) enum TunnelsVerb {
    /// Close the tunnels for which everything that is given is so (exit 0 or 1)
    Close {
        #[command(flatten)]
        running: Running,
        #[command(flatten)]
        which: Which,
    },
}

#[derive(clap::Args)]
#[group(required = true, multiple = true)]
pub(super) struct Which {
    /// Through this upstream, as `proxy upstreams` calls it
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// Of this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// To this host, at any port or at the one that is given
    #[arg(long, value_name = "HOST[:PORT]")]
    target: Option<String>,
    /// Without a byte for so long, such as 90s or 10m
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    idle_for: Option<Duration>,
    /// Of this number, as the log has it
    #[arg(long, value_name = "ID")]
    id: Option<RequestId>,
}

impl Steering {
    /// To which proxy, for the upstream of which name, and which order.
    pub(super) fn order(self) -> (Running, String, Order) {
        let (Steered { running, name }, order) = match self {
            Steering::Disable(steered) => (steered, Order::Disable),
            Steering::Enable(steered) => (steered, Order::Enable),
            Steering::Drain(steered) => (steered, Order::Drain),
            Steering::Eject(steered) => (steered, Order::Eject),
            Steering::Restore(steered) => (steered, Order::Restore),
            Steering::Weight { steered, weight } => (steered, Order::Weight(weight)),
        };
        (running, name, order)
    }
}

impl Which {
    /// What is asked of a tunnel, if that is something.
    pub(super) fn filter(self) -> Result<TunnelFilter, clap::Error> {
        let Which { upstream, user, target, idle_for, id } = self;
        let idle_for_ms = idle_for.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        let criteria = Criteria { upstream, user, target, idle_for_ms, id };
        TunnelFilter::try_from(criteria)
            .map_err(|error| clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{error}\n")))
    }
}
