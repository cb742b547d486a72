//! A notification, built from a notice or about the program itself.

use crate::shapes::VerdictShape;
use sentinel_model::{Notice, NoticeKind, Severity};

/// A notification as the desktop shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The title of the notice.
    pub title: String,
    /// The fact, and what to do.
    pub body: String,
    /// The urgency.
    pub severity: Severity,
    /// The picture beside the text.
    pub shape: VerdictShape,
    /// What it is about; a later notification on the same topic replaces the earlier one.
    pub topic: Option<String>,
}

impl From<&Notice> for Notification {
    fn from(notice: &Notice) -> Self {
        let (severity, shape) = match (notice.kind, notice.severity) {
            // Desktops keep critical notifications until they are dismissed; the end of one need
            // not stay.
            (NoticeKind::Resolve, severity) => (severity.min(Severity::Warning), VerdictShape::Protected),
            (NoticeKind::Alarm, Severity::Critical) => (Severity::Critical, VerdictShape::Exposed),
            (NoticeKind::Alarm, severity) => (severity, VerdictShape::Caution),
        };
        Self {
            title: notice.title.clone(),
            body: notice.body.clone(),
            severity,
            shape,
            topic: Some(notice.incident.to_string()),
        }
    }
}

impl Notification {
    /// Builds a notification about the program itself.
    pub fn about_program(title: &str, body: &str) -> Self {
        Self {
            title: title.to_owned(),
            body: body.to_owned(),
            severity: Severity::Warning,
            shape: VerdictShape::Caution,
            topic: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{FindingKind, IncidentId, Timestamp};

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
    fn a_notification_has_the_title_of_its_notice() {
        let title = FindingKind::DnsLeak.title(None);
        let notice = Notice { title: title.clone(), ..notice(NoticeKind::Alarm, Severity::Critical) };
        assert_eq!(Notification::from(&notice).title, title);
    }

    #[test]
    fn a_later_notification_replaces_the_one_about_the_same_incident_only() {
        let alarm = Notification::from(&notice(NoticeKind::Alarm, Severity::Critical));
        let other =
            Notice { incident: IncidentId::from("other"), ..notice(NoticeKind::Alarm, Severity::Critical) };
        assert_ne!(alarm.topic, Notification::from(&other).topic);
        assert_eq!(Notification::about_program("title", "body").topic, None);
    }

    #[test]
    fn an_alarm_is_as_urgent_as_its_severity_and_its_end_at_most_a_warning() {
        let alarm = Notification::from(&notice(NoticeKind::Alarm, Severity::Critical));
        assert_eq!((alarm.severity, alarm.shape), (Severity::Critical, VerdictShape::Exposed));
        let end = Notification::from(&notice(NoticeKind::Resolve, Severity::Critical));
        assert_eq!((end.severity, end.shape), (Severity::Warning, VerdictShape::Protected));
        assert_eq!(alarm.topic, end.topic);
        let warning = Notification::from(&notice(NoticeKind::Alarm, Severity::Warning));
        assert_eq!((warning.severity, warning.shape), (Severity::Warning, VerdictShape::Caution));
    }
}
