//! Waiting that costs nothing where there is nothing to wait for.

use std::time::Duration;

use tokio::time::sleep;

/// Waits for `time`. Tokio's own `sleep` takes up to a millisecond even for zero, the grain of its timer.
pub async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}
