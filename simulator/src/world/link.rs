//! One direction between two hosts.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::scenario::Network;

/// How packets fare from one host to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Of every packet.
    pub latency: Duration,
    /// Up to this much more, drawn for every packet. Packets of one connection stay in order.
    pub jitter: Duration,
    /// Packets lost of a million. Pure acknowledgements are spared: the stack underneath has no way to ask for one again.
    pub loss_ppm: u32,
    /// Packets of a million that are overtaken by others.
    pub reorder_ppm: u32,
    /// By so much they come later. What follows on the same connection waits for them, as its receiver would make it.
    pub reorder_by: Duration,
    /// Bytes a second; `None`: without limit.
    pub bandwidth: Option<NonZeroU64>,
    /// What happens to packets besides.
    pub gate: Gate,
}

/// What happens to packets on a link.
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
    /// Opens or shuts it.
    Gate(Gate),
    /// Loses so many of a million.
    Loss(u32),
    /// Takes so long, and up to so much more.
    Delay(Duration, Duration),
    /// So many of a million are overtaken, by so much.
    Reorder(u32, Duration),
    /// Carries so many bytes a second.
    Bandwidth(Option<NonZeroU64>),
}

impl Default for Link {
    fn default() -> Self {
        Link::usual(&Network::default())
    }
}

impl Link {
    /// Every link of `network`, but for those that it names.
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
