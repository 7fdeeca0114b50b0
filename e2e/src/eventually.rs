//! Waiting for something to become true, and telling what was seen if it does not.

use std::time::{Duration, Instant};

/// How often it is looked at.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// Asks `probe` until it returns `Ok`, and returns that. `Err` holds what was seen instead, in words.
///
/// A probe that hangs is cut off at the deadline, too.
///
/// # Panics
/// When `within` has passed, with `what` was waited for and what was seen last.
#[track_caller]
pub fn eventually<T>(
    what: &str,
    within: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        let started = Instant::now();
        let mut last = "nothing: the first look did not end".to_owned();
        while let Some(left) = within.checked_sub(started.elapsed()) {
            match tokio::time::timeout(left, probe()).await {
                Ok(Ok(value)) => return value,
                Ok(Err(seen)) => last = seen,
                Err(_) => break,
            }
            tokio::time::sleep(POLL_EVERY.min(left)).await;
        }
        panic!("{what}: not within {} s ({place}); last seen: {last}", within.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_returns_what_came_at_last() {
        let mut looks = 0;
        let third = eventually("the third look", Duration::from_secs(10), async || {
            looks += 1;
            if looks < 3 { Err(format!("look {looks}")) } else { Ok(looks) }
        });
        assert_eq!(third.await, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "the sun: not within 0.15 s")]
    async fn it_gives_up_on_a_probe_that_hangs() {
        eventually("the sun", Duration::from_millis(150), async || -> Result<(), String> {
            std::future::pending().await
        })
        .await;
    }
}
