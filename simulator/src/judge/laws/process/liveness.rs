//! The law `liveness`: once all is healed, requests succeed again.

use crate::judge::history::History;
use crate::judge::laws::law::Law;
use crate::judge::violation::Violation;

pub(in crate::judge) const LAW: Law =
    Law { name: "liveness", text: "Once all is healed, requests succeed again.", check };

fn check(history: &History<'_>) -> Vec<Violation> {
    history.record.stuck.iter().map(|stuck| Violation::found(stuck.clone(), [])).collect()
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;

    #[test]
    fn fires_where_no_progress_was_made() {
        let mut twin = Twin::of(&LAW);
        twin.record.stuck = Some("nothing succeeded".to_owned());
        twin.fires();
    }
}
