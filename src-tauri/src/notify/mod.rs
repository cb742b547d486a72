//! Desktop notifications of the notices in the engine's outbox.
//!
//! A notice is stored before it comes here, and counts as delivered only once the desktop has
//! accepted it. Until then delivery is retried, so no notice is lost if the notification daemon
//! starts late.

#[cfg(target_os = "linux")]
mod freedesktop;
#[cfg(not(target_os = "linux"))]
mod native;
mod notification;

#[cfg(target_os = "linux")]
pub use freedesktop::Notifier;
#[cfg(not(target_os = "linux"))]
pub use native::Notifier;
pub use notification::Notification;

use sentinel_engine::{Engine, EngineError};
use std::time::Duration;
use tokio::time::sleep;

/// The name of this channel in the outbox.
const CHANNEL: &str = "desktop";

/// The delay before the first retry; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest delay between retries.
const MAX_RETRY: Duration = Duration::from_secs(30);

/// Shows every notice of the outbox, oldest first, until the engine stops.
pub async fn deliver_notices(engine: Engine, mut notifier: Notifier) {
    for note in engine.notes() {
        if let Err(cause) =
            notifier.show(&Notification::about_program("VPNSentinel started with a remark", note)).await
        {
            tracing::warn!("Cannot show a notification: {cause:#}");
        }
    }
    let mut wait = FIRST_RETRY;
    loop {
        match deliver_next(&engine, &mut notifier).await {
            Ok(()) => wait = FIRST_RETRY,
            Err(DeliveryError::EngineStopped) => return,
            Err(DeliveryError::Failed(cause)) => {
                tracing::warn!("Cannot show a notification; trying again in {} s: {cause:#}", wait.as_secs());
                sleep(wait).await;
                wait = MAX_RETRY.min(wait * 2);
            }
        }
    }
}

/// Why a notice was not delivered.
enum DeliveryError {
    /// The engine has stopped, so there are no more notices.
    EngineStopped,
    /// The desktop or the outbox failed; a retry may succeed.
    Failed(anyhow::Error),
}

impl From<EngineError> for DeliveryError {
    fn from(cause: EngineError) -> Self {
        match cause {
            EngineError::Stopped => Self::EngineStopped,
            other => Self::Failed(other.into()),
        }
    }
}

async fn deliver_next(engine: &Engine, notifier: &mut Notifier) -> Result<(), DeliveryError> {
    let (id, notice) = engine.next_notice(CHANNEL).await?;
    notifier.show(&Notification::from(&notice)).await.map_err(DeliveryError::Failed)?;
    tracing::info!(title = notice.title, "Notification shown");
    Ok(engine.delivered(CHANNEL, id)?)
}
