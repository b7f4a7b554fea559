//! Holds the deadline of a client's connection, which mostly moves before it passes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Duration, Instant, Sleep, sleep_until};

/// The one deadline that a connection has at a time. A timer for each would take the lock of the runtime's timers twice, and
/// all threads share it: this timer is moved only where it has fired too early, or would fire too late.
#[derive(Default)]
pub(crate) struct Deadline(Option<(Pin<Box<Sleep>>, Instant)>);

impl Deadline {
    /// Moves it to `span` from now.
    pub(crate) fn set(&mut self, span: Duration) {
        let until = Instant::now() + span;
        match &mut self.0 {
            None => self.0 = Some((Box::pin(sleep_until(until)), until)),
            Some((timer, wanted)) => {
                *wanted = until;
                if timer.deadline() > until {
                    timer.as_mut().reset(until);
                }
            }
        }
    }

    /// Ready once it has passed; without one, never.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((timer, wanted)) = &mut self.0 else { return Poll::Pending };
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= *wanted {
                return Poll::Ready(());
            }
            timer.as_mut().reset(*wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_passes_when_it_was_moved_to_and_not_when_it_was_before() {
        let start = Instant::now();
        let mut deadline = Deadline::default();
        // Later, later while it is waited for, and sooner.
        for (spans, passed) in [(&[1, 5][..], 5), (&[60], 65), (&[90, 30, 40], 105)] {
            for span in spans {
                deadline.set(Duration::from_secs(*span));
                assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx).is_pending())).await);
            }
            poll_fn(|cx| deadline.poll(cx)).await;
            assert_eq!(start.elapsed(), Duration::from_secs(passed));
        }
    }
}
