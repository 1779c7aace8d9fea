//! What runs beside the requests for as long as the process lives. A duty that panics is taken up again: one that ended
//! in silence would be noticed hours later, when keys have aged or nobody is given a token any more.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use tokio::time::sleep;

/// Between a panic and the next try: a duty that panics each time must not fill the log, nor the processor.
const PAUSE: Duration = Duration::from_secs(1);

/// Does its duty until it ends by itself; from its beginning again after each panic.
///
/// What a duty works on outlives it and is shared with requests, so it is in order whenever nobody has it under a lock;
/// locks are taken again by those who come after a panic.
pub(super) async fn keep_at<T>(duty: &'static str, mut work: impl AsyncFnMut() -> T) {
    while AssertUnwindSafe(work()).catch_unwind().await.is_err() {
        tracing::error!(duty, "panicked; it is taken up again");
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_duty_that_panics_is_taken_up_again_with_a_pause_until_it_ends_by_itself() {
        let began = tokio::time::Instant::now();
        let mut times = 0;

        keep_at("test", async || {
            times += 1;
            sleep(Duration::from_millis(1)).await;
            assert!(times >= 3, "not yet");
        })
        .await;

        assert_eq!(times, 3);
        assert_eq!(began.elapsed(), PAUSE * 2 + Duration::from_millis(3));
    }
}
