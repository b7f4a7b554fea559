//! Decides whether our own network is down, so that no upstream is to blame.

use std::collections::BTreeMap;
use std::time::Duration;

use super::time::Timestamp;
use super::upstream::UpstreamId;

/// Failures further apart than this are not one outage.
const MOMENTS: Duration = Duration::from_secs(30);

/// The upstreams that could not be reached since one last was.
///
/// A time-out or an unreachable network on the way to one upstream is that upstream's. On the way to most of them within
/// moments, with none that was reached in between, it is our own, and stays so until one is reached again.
#[derive(Clone, Debug, Default)]
pub struct OwnNetwork {
    lost: BTreeMap<UpstreamId, Timestamp>,
}

impl OwnNetwork {
    /// No way was found to `upstream`, which is one of `usable`. Tells whether that is our own network's fault.
    pub fn lost(&mut self, upstream: UpstreamId, usable: usize, now: Timestamp) -> bool {
        self.lost.retain(|_, at| now.since(*at) < MOMENTS);
        self.lost.insert(upstream, now);
        self.lost.len() >= 2 && self.lost.len() * 2 > usable
    }

    /// All were reached of late, as far as is known.
    pub fn is_well(&self) -> bool {
        self.lost.is_empty()
    }

    /// An upstream was reached.
    pub fn reached(&mut self) {
        self.lost.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::ZERO.after(Duration::from_secs(secs))
    }

    fn lost(network: &mut OwnNetwork, upstreams: &[u32], usable: usize, now: u64) -> Vec<bool> {
        upstreams.iter().map(|number| network.lost(UpstreamId::new(*number), usable, at(now))).collect()
    }

    #[test]
    fn most_upstreams_lost_within_moments_are_our_own_network() {
        let mut network = OwnNetwork::default();
        assert_eq!(lost(&mut network, &[0, 0, 1, 1, 2, 3], 4, 1), [false, false, false, false, true, true]);
        network.reached();
        assert_eq!(lost(&mut network, &[0, 1], 4, 1), [false, false]);
        assert_eq!(lost(&mut OwnNetwork::default(), &[0, 1, 2, 3], 6, 1), [false, false, false, true]);
        assert_eq!(lost(&mut network, &[2], 4, 31), [false], "that is another story");
    }

    #[test]
    fn it_is_well_but_for_the_time_from_a_loss_to_the_next_that_is_reached() {
        let mut network = OwnNetwork::default();
        assert!(network.is_well());
        lost(&mut network, &[0], 4, 1);
        assert!(!network.is_well());
        network.reached();
        assert!(network.is_well());
    }

    #[test]
    fn a_single_upstream_is_no_witness_for_itself() {
        assert_eq!(lost(&mut OwnNetwork::default(), &[0, 0, 0], 1, 1), [false; 3]);
        assert_eq!(lost(&mut OwnNetwork::default(), &[0, 1], 2, 1), [false, true]);
    }
}
