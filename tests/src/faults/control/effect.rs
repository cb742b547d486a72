//! The observable effect of a fault, and the wait for it.

use anyhow::Result;
use futures::{FutureExt, future::BoxFuture};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Longest time until an effect is observable.
pub(super) const SOON: Duration = Duration::from_secs(3);
/// Longest time for effects that take several packets in sequence, such as a WireGuard handshake.
pub(super) const LATER: Duration = Duration::from_secs(12);
/// Pause between two attempts to observe an effect.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// The proof that a fault took effect.
pub(crate) enum PositiveControl {
    /// No observation is needed, for this reason.
    NotNeeded(&'static str),
    /// This effect must be observed.
    Effect(Effect),
}

#[cfg(test)]
impl PositiveControl {
    /// Returns an effect that is never observed.
    pub(crate) fn never(within: Duration) -> Self {
        let observe = || async { anyhow::bail!("nothing happens") };
        Effect::new("something happens", observe).within(within).into()
    }
}

/// An effect of a fault, and how to observe it.
pub(crate) struct Effect {
    pub(crate) description: String,
    within: Duration,
    observe: Box<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>,
}

impl Effect {
    /// Describes an effect that `observe` succeeds in observing, [`SOON`] by default.
    pub(super) fn new<F>(
        description: impl Into<String>,
        observe: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        Self { description: description.into(), within: SOON, observe: Box::new(move || observe().boxed()) }
    }

    /// Sets the longest time until the effect is observable.
    pub(super) fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    /// Waits until the effect is observed, and returns how long that took.
    ///
    /// # Errors
    /// Fails if it is not observed in time, with the error of the last attempt.
    pub(crate) async fn wait(&self) -> Result<Duration> {
        let began = Instant::now();
        loop {
            match (self.observe)().await {
                Ok(()) => return Ok(began.elapsed()),
                Err(error) if began.elapsed() >= self.within => {
                    let message = format!("not observed within {:?}: {}", self.within, self.description);
                    return Err(error.context(message));
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
}

impl From<Effect> for PositiveControl {
    fn from(effect: Effect) -> Self {
        Self::Effect(effect)
    }
}
