//! Tries a request again, as a good client does: the same command id, growing pauses, one deadline.
//!
//! Guarantees: retried is only what surely did not happen and may succeed later, and what may have
//! happened (the id makes that safe). Once an attempt was in doubt, a later *notApplied* says
//! nothing about it: the end is *unknown*.

use std::future::Future;
use std::time::Duration;

use corallite_cell::outcome::Outcome;
use rand::RngExt;
use tokio::time::Instant;

use crate::failure::Failure;

/// First pause between attempts, unless the cell names one.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Runs `attempt` until it succeeds, cannot succeed, or `timeout` is over. Each attempt is told the
/// time that is left.
///
/// # Errors
/// The last failure, made *unknown* if an earlier attempt was.
pub async fn until<T, F, A>(timeout: Duration, mut attempt: F) -> Result<T, Failure>
where
    F: FnMut(Duration) -> A,
    A: Future<Output = Result<T, Failure>>,
{
    let deadline = Instant::now() + timeout;
    let mut pause = PAUSE_MIN;
    let mut in_doubt = false;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let failure = match attempt(left).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        in_doubt |= failure.outcome == Outcome::Unknown;
        let wait = jittered(failure.retry_after.unwrap_or_default().max(pause));
        if !worth_retrying(&failure) || Instant::now() + wait >= deadline {
            return Err(settle(failure, in_doubt));
        }
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn worth_retrying(failure: &Failure) -> bool {
    match failure.outcome {
        Outcome::Refused => false,
        Outcome::NotApplied => failure.retryable,
        Outcome::Unknown => true,
    }
}

fn settle(mut failure: Failure, in_doubt: bool) -> Failure {
    if in_doubt && failure.outcome == Outcome::NotApplied {
        failure.outcome = Outcome::Unknown;
        failure.message.push_str("; an earlier attempt may have been applied");
    }
    failure
}

/// Spreads clients that failed together, by up to a quarter.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(1.0..1.25))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(outcome: Outcome, retryable: bool) -> Failure {
        Failure { outcome, retryable, ..Failure::unreachable("scripted") }
    }

    /// Plays `script` back, one entry an attempt, the last one for ever; gives the end and how many
    /// attempts it took.
    async fn play(script: &[Result<(), Failure>]) -> (Result<(), Failure>, usize) {
        let mut attempts = 0;
        let end = until(Duration::from_secs(3), |_| {
            let step = script[attempts.min(script.len() - 1)].clone();
            attempts += 1;
            async move { step }
        })
        .await;
        (end, attempts)
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_may_help_is_tried_again() {
        let refused = play(&[Err(failure(Outcome::Refused, false)), Ok(())]).await;
        assert_eq!((refused.0.is_err(), refused.1), (true, 1));
        let malformed = play(&[Err(failure(Outcome::NotApplied, false)), Ok(())]).await;
        assert_eq!((malformed.0.is_err(), malformed.1), (true, 1));
        let overloaded = play(&[Err(failure(Outcome::NotApplied, true)), Ok(())]).await;
        assert_eq!(overloaded, (Ok(()), 2));
        let lost = play(&[Err(failure(Outcome::Unknown, false)), Ok(())]).await;
        assert_eq!(lost, (Ok(()), 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_doubt_stays_a_doubt() {
        let script = [
            Err(failure(Outcome::Unknown, true)),
            Err(failure(Outcome::NotApplied, true)),
            Err(failure(Outcome::NotApplied, false)),
        ];
        let (end, attempts) = play(&script).await;
        assert_eq!(end.map_err(|failure| failure.outcome), Err(Outcome::Unknown));
        assert_eq!(attempts, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn trying_ends_with_the_timeout() {
        let started = Instant::now();
        let (end, attempts) = play(&[Err(failure(Outcome::NotApplied, true))]).await;
        assert_eq!(end.map_err(|failure| failure.outcome), Err(Outcome::NotApplied));
        assert!((4..=7).contains(&attempts), "{attempts} attempts in 3 s with pauses from 50 ms doubling");
        assert!(started.elapsed() <= Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_the_cell_asks_for_is_kept() {
        let mut busy = failure(Outcome::NotApplied, true);
        busy.retry_after = Some(Duration::from_secs(1));
        let started = Instant::now();
        assert_eq!(play(&[Err(busy), Ok(())]).await.0, Ok(()));
        assert!(started.elapsed() >= Duration::from_secs(1));
    }
}
