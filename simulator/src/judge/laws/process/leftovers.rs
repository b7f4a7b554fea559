//! The law `leftovers`: once the proxy has stopped, no task and no connection of it is left.

use crate::judge::history::History;
use crate::judge::laws::law::Law;
use crate::judge::violation::Violation;

pub(in crate::judge) const LAW: Law =
    Law { name: "leftovers", text: "Once the proxy has stopped, no task and no connection of it is left.", check };

fn check(history: &History<'_>) -> Vec<Violation> {
    history.record.left.iter().map(|left| Violation::found(left.clone(), [])).collect()
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;

    #[test]
    fn fires_on_a_connection_that_is_left() {
        let mut twin = Twin::of(&LAW);
        twin.record.left.push("1 connections of the proxy".to_owned());
        twin.fires();
    }
}
