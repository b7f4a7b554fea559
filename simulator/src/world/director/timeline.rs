//! Each entry of the timeline changes something on the stage.

use super::stage::Stage;
use crate::record::ScenarioEvent;
use crate::scenario::{Action, HostName};
use crate::world::engine::RunsProxy;
use crate::world::link::{Gate, LinkChange, parts_per_million};

impl<E: RunsProxy> Stage<'_, E> {
    /// The place of the proxy that is told something.
    fn told(&self, action: &Action) -> usize {
        action.told().and_then(|host| self.proxy_on(host)).unwrap_or(0)
    }

    /// Plays `action`, which is the entry with index `place` of the timeline.
    pub(super) fn play_entry(&mut self, entry: usize, action: &Action) {
        let does = serde_json::to_string(action).unwrap_or_default();
        self.tell(ScenarioEvent::Played { entry, does });
        match action {
            Action::Partition { between } => self.change(Some(between), LinkChange::Gate(Gate::Cut)),
            Action::PartitionOneWay { from, to } => {
                let change = LinkChange::Gate(Gate::Cut);
                self.engine.change_link(&HostName::new(from), &HostName::new(to), change);
            }
            Action::Hold { between } => self.change(Some(between), LinkChange::Gate(Gate::Held)),
            Action::Heal { between } => {
                self.change(between.as_ref(), LinkChange::Loss(0));
                self.change(between.as_ref(), LinkChange::Gate(Gate::Open));
            }
            Action::Loss { between, share } => {
                self.change(between.as_ref(), LinkChange::Loss(parts_per_million(*share)));
            }
            Action::Delay { between, latency, jitter } => {
                self.change(between.as_ref(), LinkChange::Delay(latency.get(), jitter.get()));
            }
            Action::Crash { host } => self.crash(&HostName::new(host)),
            Action::Restart { host } => self.restart(&HostName::new(host)),
            Action::Reload { proxy, text, .. } => self.reload(self.told(action), proxy, text.as_deref()),
            Action::Steer { upstream, order, .. } => self.steer(self.told(action), upstream, *order),
            Action::CloseTunnels { which, .. } => self.close_tunnels(self.told(action), which),
            Action::Drain { .. } => self.drain(self.told(action)),
            Action::ClockJump { by } => self.wall.jump(by.value().milliseconds()),
            Action::Dns { name, hosts } => self.set_name(name, hosts),
            Action::Arm { upstream, fault } => self.arm(&HostName::new(upstream), fault, true),
            Action::Disarm { upstream, fault } => self.arm(&HostName::new(upstream), fault, false),
        }
    }
}
