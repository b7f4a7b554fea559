//! A link carries packets from one host to another; each direction is a link of its own.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::scenario::Network;

/// How long packets from one host to another take, and which are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// How long every packet takes.
    pub latency: Duration,
    /// The most that is added to it, drawn for every packet. Packets of one connection stay in order.
    pub jitter: Duration,
    /// How many of a million packets are lost. Pure acknowledgements never are, since the stack underneath can't ask for one again.
    pub loss_ppm: u32,
    /// How many of a million packets are overtaken by others.
    pub reorder_ppm: u32,
    /// How much later these arrive. Later packets of the same connection wait for them, as they would in its receiver.
    pub reorder_by: Duration,
    /// How many bytes it carries in a second; `None` means any number.
    pub bandwidth: Option<NonZeroU64>,
    /// Whether packets pass at all.
    pub gate: Gate,
}

/// Whether packets pass a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They pass.
    Open,
    /// They are lost.
    Cut,
    /// They wait until the link is opened.
    Held,
}

/// A change of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkChange {
    /// Opens or shuts the link.
    Gate(Gate),
    /// Sets how many of a million packets are lost.
    Loss(u32),
    /// Sets the latency and the jitter.
    Delay(Duration, Duration),
    /// Sets how many of a million packets are overtaken, and how much later these arrive.
    Reorder(u32, Duration),
    /// Sets how many bytes the link carries in a second.
    Bandwidth(Option<NonZeroU64>),
}

impl Default for Link {
    fn default() -> Self {
        Link::usual(&Network::default())
    }
}

impl Link {
    /// The link that `network` describes for all pairs of hosts that it does not name.
    pub fn usual(network: &Network) -> Self {
        Link {
            latency: network.latency.get(),
            jitter: network.jitter.get(),
            loss_ppm: parts_per_million(network.loss),
            reorder_ppm: network.reorder.map_or(0, |reorder| parts_per_million(reorder.share)),
            reorder_by: network.reorder.map_or(Duration::ZERO, |reorder| reorder.by.get()),
            bandwidth: network.bytes_per_second,
            gate: Gate::Open,
        }
    }

    pub(super) fn apply(&mut self, change: LinkChange) {
        match change {
            LinkChange::Gate(gate) => self.gate = gate,
            LinkChange::Loss(ppm) => self.loss_ppm = ppm,
            LinkChange::Delay(latency, jitter) => (self.latency, self.jitter) = (latency, jitter),
            LinkChange::Reorder(ppm, by) => (self.reorder_ppm, self.reorder_by) = (ppm, by),
            LinkChange::Bandwidth(bandwidth) => self.bandwidth = bandwidth,
        }
    }
}

/// A share from 0 to 1 in parts of a million.
pub(super) fn parts_per_million(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * 1_000_000.0).round() as u32
}
