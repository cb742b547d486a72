//! Native notifications, from the engine's outbox.
//!
//! A notice is stored before it comes here, and counts as delivered only once the desktop has taken it; until then it is
//! tried again, so a notification daemon that starts late or restarts costs nothing.

#[cfg(target_os = "linux")]
#[path = "notify/freedesktop.rs"]
mod desktop;
#[cfg(not(target_os = "linux"))]
#[path = "notify/native.rs"]
mod desktop;

pub use desktop::Notifier;

use crate::icons::Shape;
use sentinel_engine::{Engine, EngineError};
use sentinel_model::{Notice, NoticeKind, Severity};
use std::time::Duration;
use tokio::time::sleep;

/// The engine's name for this way of telling the person.
const CHANNEL: &str = "desktop";

/// A desktop that refused is asked again after the first, then more and more rarely up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// A few words.
    pub title: String,
    /// The fact, and what to do.
    pub body: String,
    /// How loud.
    pub severity: Severity,
    /// The picture beside it.
    pub shape: Shape,
    /// A later message about the same thing takes the place of the earlier one.
    pub about: Option<String>,
}

impl From<&Notice> for Message {
    fn from(notice: &Notice) -> Self {
        let (severity, shape) = match (notice.kind, notice.severity) {
            // Good news must not stay on the screen until it is dismissed.
            (NoticeKind::Resolve, severity) => (severity.min(Severity::Warning), Shape::Protected),
            (NoticeKind::Alarm, Severity::Critical) => (Severity::Critical, Shape::Exposed),
            (NoticeKind::Alarm, severity) => (severity, Shape::Caution),
        };
        Self {
            title: notice.title.clone(),
            body: notice.body.clone(),
            severity,
            shape,
            about: Some(notice.incident.to_string()),
        }
    }
}

impl Message {
    /// Something about the program itself.
    pub fn own(title: &str, body: &str) -> Self {
        Self {
            title: title.to_owned(),
            body: body.to_owned(),
            severity: Severity::Warning,
            shape: Shape::Caution,
            about: None,
        }
    }
}

/// Shows every notice of the outbox, oldest first, until the engine stops.
pub async fn deliver(engine: Engine, mut notifier: Notifier) {
    for note in engine.notes() {
        if let Err(cause) = notifier.show(&Message::own("VPNSentinel started with a remark", note)).await {
            tracing::warn!("cannot show a notification: {cause:#}");
        }
    }
    let mut wait = RETRY.0;
    loop {
        match deliver_next(&engine, &mut notifier).await {
            Ok(()) => wait = RETRY.0,
            Err(Failure::Stopped) => return,
            Err(Failure::Undelivered(cause)) => {
                tracing::warn!("cannot show a notification; trying again in {} s: {cause:#}", wait.as_secs());
                sleep(wait).await;
                wait = RETRY.1.min(wait * 2);
            }
        }
    }
}

enum Failure {
    Stopped,
    Undelivered(anyhow::Error),
}

impl From<EngineError> for Failure {
    fn from(cause: EngineError) -> Self {
        match cause {
            EngineError::Stopped => Self::Stopped,
            other => Self::Undelivered(other.into()),
        }
    }
}

async fn deliver_next(engine: &Engine, notifier: &mut Notifier) -> Result<(), Failure> {
    let (id, notice) = engine.next_notice(CHANNEL).await?;
    notifier.show(&Message::from(&notice)).await.map_err(Failure::Undelivered)?;
    tracing::info!(title = notice.title, "shown");
    Ok(engine.delivered(CHANNEL, id).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{IncidentId, Timestamp};

    fn notice(kind: NoticeKind, severity: Severity) -> Notice {
        Notice {
            incident: IncidentId::from("incident"),
            kind,
            severity,
            title: "title".to_owned(),
            body: "body".to_owned(),
            at: Timestamp(0),
        }
    }

    #[test]
    fn an_alarm_is_as_loud_as_its_severity_and_its_end_never_louder_than_a_warning() {
        let alarm = Message::from(&notice(NoticeKind::Alarm, Severity::Critical));
        assert_eq!((alarm.severity, alarm.shape), (Severity::Critical, Shape::Exposed));
        let end = Message::from(&notice(NoticeKind::Resolve, Severity::Critical));
        assert_eq!((end.severity, end.shape), (Severity::Warning, Shape::Protected));
        assert_eq!(alarm.about, end.about);
        let warning = Message::from(&notice(NoticeKind::Alarm, Severity::Warning));
        assert_eq!((warning.severity, warning.shape), (Severity::Warning, Shape::Caution));
    }
}
