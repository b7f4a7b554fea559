use super::{Invariant, Violation, found};
use crate::history::History;

pub(super) const INVARIANT: Invariant =
    Invariant { name: "liveness", law: "Once all is healed, requests succeed again.", check };

fn check(history: &History<'_>) -> Vec<Violation> {
    history.played.stuck.iter().map(|stuck| found(stuck.clone(), [])).collect()
}

#[cfg(test)]
mod tests {
    use crate::invariant::support::Twin;

    #[test]
    fn fires_where_no_progress_was_made() {
        let mut twin = Twin::sound();
        twin.played.stuck = Some("nothing succeeded".to_owned());
        twin.fires("liveness");
    }
}
