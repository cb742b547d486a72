//! Several packets at once, of which the quickest answer counts: one that gets lost must not hold a round up.

use futures::stream::{FuturesUnordered, StreamExt};
use sentinel_model::Reason;
use std::{future::Future, time::Duration};
use tokio::time::{Instant, timeout_at};

/// What the others get once one has been answered, at the least.
const STRAGGLERS: Duration = Duration::from_millis(50);

/// Waits for all of them; once one has succeeded, for the others only as long again. What did not end by then is left
/// out. Every future keeps its own budget, so that a volley without any answer ends as well.
pub(crate) async fn answers<T>(
    volley: impl IntoIterator<Item = impl Future<Output = Result<T, Reason>>>,
) -> Vec<Result<T, Reason>> {
    let began = Instant::now();
    let mut volley: FuturesUnordered<_> = volley.into_iter().collect();
    let mut answers = Vec::new();
    let mut until = None;
    loop {
        let next = match until {
            None => volley.next().await,
            Some(until) => timeout_at(until, volley.next()).await.unwrap_or(None),
        };
        let Some(answer) = next else { return answers };
        if answer.is_ok() && until.is_none() {
            until = Some(Instant::now() + began.elapsed().max(STRAGGLERS));
        }
        answers.push(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    async fn after(ms: u64, answer: Result<u64, Reason>) -> Result<u64, Reason> {
        sleep(Duration::from_millis(ms)).await;
        answer
    }

    #[tokio::test]
    async fn a_lost_packet_costs_no_more_than_the_quickest_answer_took() {
        let began = Instant::now();
        let volley = [after(20, Ok(20)), after(60_000, Err(Reason::TimedOut)), after(30, Ok(30))];
        assert_eq!(answers(volley).await, [Ok(20), Ok(30)]);
        assert!(began.elapsed() < Duration::from_secs(30), "nobody waited for the lost one");
    }

    #[tokio::test]
    async fn without_an_answer_every_reason_is_told() {
        let volley = [after(1, Err(Reason::Unreachable)), after(200, Err(Reason::TimedOut))];
        assert_eq!(answers(volley).await, [Err(Reason::Unreachable), Err(Reason::TimedOut)]);
        assert!(answers([after(0, Ok(1))].into_iter().take(0)).await.is_empty());
    }
}
