//! A small cache of the addresses of nodes' names.
//!
//! The addresses of one node are dialed all at once, and often hold the same name. An entry is one
//! lookup, under way or finished, so that they share it.

use futures::future::{BoxFuture, FutureExt, Shared};
use sentinel_model::{Family, Reason};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// More names than a person's nodes have.
const MAX_ENTRIES: usize = 64;
/// How long an answer is kept at most. Nodes at home have names because their addresses change.
const MAX_LIFETIME: Duration = Duration::from_mins(1);
/// How long a failure is kept: long enough for all addresses that are dialed together.
const FAILURE_LIFETIME: Duration = Duration::from_millis(500);

/// A name and the family of the addresses it is looked up for.
pub(super) type Question = (String, Family);

/// The result of a lookup.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) result: Result<Vec<IpAddr>, Reason>,
    expires: Instant,
}

impl Answer {
    /// Makes an answer that was given just now and is valid for `ttl`, if it is one of addresses.
    pub(super) fn new(result: Result<Vec<IpAddr>, Reason>, ttl: Duration) -> Self {
        let lifetime = if result.as_ref().is_ok_and(|found| !found.is_empty()) {
            ttl.min(MAX_LIFETIME)
        } else {
            FAILURE_LIFETIME
        };
        Self { result, expires: Instant::now() + lifetime }
    }
}

/// Lookups under way, and answers that are still valid.
#[derive(Default)]
pub(super) struct Cache {
    lookups: Mutex<HashMap<Question, Shared<BoxFuture<'static, Answer>>>>,
}

impl Cache {
    /// Returns the lookup of this question, which `start` begins if there is none yet.
    pub(super) fn find_or_start(
        &self,
        question: Question,
        start: impl FnOnce() -> BoxFuture<'static, Answer>,
    ) -> Shared<BoxFuture<'static, Answer>> {
        let now = Instant::now();
        let mut lookups = self.lock();
        lookups.retain(|_, lookup| lookup.peek().is_none_or(|answer| answer.expires > now));
        if let Some(lookup) = lookups.get(&question) {
            return lookup.clone();
        }
        let lookup = start().shared();
        // Beyond the limit, lookups are not shared.
        if lookups.len() < MAX_ENTRIES {
            lookups.insert(question, lookup.clone());
        }
        lookup
    }

    /// Forgets everything. Who waits for a lookup still gets its answer.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Question, Shared<BoxFuture<'static, Answer>>>> {
        self.lookups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    async fn ask(cache: &Cache, name: &str, answer: Answer, started: &AtomicUsize) -> Answer {
        let lookup = cache.find_or_start((name.to_owned(), Family::V4), || {
            started.fetch_add(1, Ordering::SeqCst);
            async move { answer }.boxed()
        });
        lookup.await
    }

    fn found(ttl: Duration) -> Answer {
        Answer::new(Ok(vec!["192.0.2.1".parse().unwrap()]), ttl)
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_its_ttl_a_minute_at_most_and_until_the_network_changes() {
        let (cache, started) = (Cache::default(), AtomicUsize::new(0));
        let count = || started.load(Ordering::SeqCst);
        ask(&cache, "a.example", found(Duration::ZERO), &started).await;
        ask(&cache, "a.example", found(Duration::from_hours(1)), &started).await;
        ask(&cache, "a.example", found(Duration::ZERO), &started).await;
        assert_eq!(count(), 2, "the first expired at once");
        cache.clear();
        ask(&cache, "a.example", found(Duration::ZERO), &started).await;
        assert_eq!(count(), 3);
        assert!(found(Duration::from_hours(1)).expires <= Instant::now() + MAX_LIFETIME);
        let failed = Answer::new(Err(Reason::TimedOut), Duration::from_hours(1));
        assert!(failed.expires <= Instant::now() + FAILURE_LIFETIME);
    }

    #[tokio::test]
    async fn questions_at_the_same_time_share_one_lookup() {
        let (cache, started) = (Cache::default(), AtomicUsize::new(0));
        let lookup = || {
            cache.find_or_start(("a.example".to_owned(), Family::V4), || {
                started.fetch_add(1, Ordering::SeqCst);
                async {
                    tokio::task::yield_now().await;
                    found(Duration::ZERO)
                }
                .boxed()
            })
        };
        let (first, second) = tokio::join!(lookup(), lookup());
        assert!(first.result.is_ok() && second.result.is_ok());
        assert_eq!(started.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn names_without_end_do_not_fill_the_memory() {
        let (cache, started) = (Cache::default(), AtomicUsize::new(0));
        for number in 0..1000 {
            let name = format!("{number}.example");
            ask(&cache, &name, found(Duration::from_hours(1)), &started).await;
        }
        assert_eq!(started.load(Ordering::SeqCst), 1000);
        assert_eq!(cache.lock().len(), MAX_ENTRIES);
    }
}
