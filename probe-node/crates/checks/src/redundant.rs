//! Collects the answers to redundant packets, so that a lost packet does not delay the round.

use futures::stream::{FuturesUnordered, StreamExt};
use sentinel_model::Reason;
use std::{future::Future, time::Duration};
use tokio::time::{Instant, timeout_at};

/// The shortest time the other exchanges are given after the first success.
const MIN_GRACE: Duration = Duration::from_millis(50);

/// Runs all exchanges at once and returns the results in the order in which they arrive.
///
/// After the first success, the others are waited for only as long again as that one took, at
/// least [`MIN_GRACE`]; results that come later are dropped. Each exchange is expected to end by
/// itself within its own budget, so the call also ends when none succeeds.
pub(crate) async fn collect<T>(
    exchanges: impl IntoIterator<Item = impl Future<Output = Result<T, Reason>>>,
) -> Vec<Result<T, Reason>> {
    let started = Instant::now();
    let mut exchanges: FuturesUnordered<_> = exchanges.into_iter().collect();
    let mut results = Vec::new();
    let mut deadline = None;
    loop {
        let next = match deadline {
            None => exchanges.next().await,
            Some(deadline) => timeout_at(deadline, exchanges.next()).await.unwrap_or(None),
        };
        let Some(result) = next else { return results };
        if result.is_ok() && deadline.is_none() {
            deadline = Some(Instant::now() + started.elapsed().max(MIN_GRACE));
        }
        results.push(result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    async fn after(ms: u64, result: Result<u64, Reason>) -> Result<u64, Reason> {
        sleep(Duration::from_millis(ms)).await;
        result
    }

    #[tokio::test]
    async fn a_lost_packet_delays_the_result_by_no_more_than_the_quickest_answer_took() {
        let started = Instant::now();
        let exchanges = [after(20, Ok(20)), after(60_000, Err(Reason::TimedOut)), after(30, Ok(30))];
        assert_eq!(collect(exchanges).await, [Ok(20), Ok(30)]);
        assert!(started.elapsed() < Duration::from_secs(30), "it must not wait for the lost packet");
    }

    #[tokio::test]
    async fn without_any_success_every_reason_is_returned() {
        let exchanges = [after(1, Err(Reason::Unreachable)), after(200, Err(Reason::TimedOut))];
        assert_eq!(collect(exchanges).await, [Err(Reason::Unreachable), Err(Reason::TimedOut)]);
        assert!(collect([after(0, Ok(1))].into_iter().take(0)).await.is_empty());
    }
}
