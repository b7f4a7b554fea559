use super::{Invariant, Violation, found};
use crate::history::History;

pub(super) const INVARIANT: Invariant =
    Invariant { name: "leftovers", law: "Once the proxy has stopped, no task and no connection of it is left.", check };

fn check(history: &History<'_>) -> Vec<Violation> {
    history.played.left.iter().map(|left| found(left.clone(), [])).collect()
}

#[cfg(test)]
mod tests {
    use crate::invariant::support::Twin;

    #[test]
    fn fires_on_a_connection_that_is_left() {
        let mut twin = Twin::sound();
        twin.played.left.push("1 connections of the proxy".to_owned());
        twin.fires("leftovers");
    }
}
