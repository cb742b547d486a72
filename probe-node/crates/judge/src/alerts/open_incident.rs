//! An incident whose rule has fired, as a machine of three states.
//!
//! Each state carries what it needs to end.

use super::presence::Presence;
use sentinel_model::{FindingKind, Incident, IncidentState, Millis, Moment, Rule, Severity, Timestamp};

/// The state of an open incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpenState {
    /// The finding is present, or has been undetermined only briefly.
    Firing {
        /// Since when it has been undetermined, if it is.
        undetermined_since: Option<Moment>,
    },
    /// The finding is absent, but not for long enough.
    Recovering(Recovery),
    /// The finding has been undetermined for long.
    Unknown,
}

/// What a recovering incident waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recovery {
    /// The finding must stay absent for the clear time.
    Absent { since: Moment },
    /// The finding is undetermined: its absence counts anew afterwards.
    Undetermined { since: Moment },
    /// The machine slept or the program restarted: everything counts anew.
    Interrupted,
}

impl OpenState {
    /// Returns the state after one assessment.
    fn next(self, presence: Presence, patience: Millis, now: Moment) -> Self {
        match (presence, self) {
            (Presence::Present | Presence::Inhibited, _) => Self::Firing { undetermined_since: None },
            (Presence::Absent, Self::Recovering(Recovery::Absent { .. })) => self,
            (Presence::Absent, _) => Self::Recovering(Recovery::Absent { since: now }),
            (Presence::Undetermined, _) => self.next_undetermined(patience, now),
        }
    }

    fn next_undetermined(self, patience: Millis, now: Moment) -> Self {
        let since = match self {
            Self::Firing { undetermined_since } => undetermined_since.unwrap_or(now),
            Self::Recovering(Recovery::Undetermined { since }) => since,
            Self::Recovering(Recovery::Absent { .. } | Recovery::Interrupted) => now,
            Self::Unknown => return self,
        };
        if now.boot.since(since.boot) >= patience {
            return Self::Unknown;
        }
        match self {
            Self::Firing { .. } => Self::Firing { undetermined_since: Some(since) },
            Self::Recovering(_) | Self::Unknown => Self::Recovering(Recovery::Undetermined { since }),
        }
    }

    /// Returns true if the finding has been absent for the clear time.
    fn is_cleared(self, clear_time: Millis, now: Moment) -> bool {
        match self {
            Self::Recovering(Recovery::Absent { since }) => now.boot.since(since.boot) >= clear_time,
            Self::Recovering(_) | Self::Firing { .. } | Self::Unknown => false,
        }
    }

    /// Forgets for how long anything has lasted.
    fn interrupt(self) -> Self {
        match self {
            Self::Firing { .. } => Self::Firing { undetermined_since: None },
            Self::Recovering(_) => Self::Recovering(Recovery::Interrupted),
            Self::Unknown => Self::Unknown,
        }
    }

    /// Returns the state as it is shown and stored.
    fn shown(self) -> IncidentState {
        match self {
            Self::Firing { .. } => IncidentState::Firing,
            Self::Recovering(_) => IncidentState::Recovering,
            Self::Unknown => IncidentState::Unknown,
        }
    }
}

/// What one assessment makes of an open incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenStep {
    /// Its state is the same.
    Unchanged,
    /// Its state is another.
    Changed,
    /// It is over.
    Resolved,
}

/// An incident whose rule has fired.
#[derive(Clone, Debug)]
pub(super) struct OpenIncident {
    /// As it is shown and stored; its state follows `state`.
    incident: Incident,
    state: OpenState,
    /// Whether the person was notified that it began.
    pub is_announced: bool,
    /// Whether it comes from an earlier run, whose monotonic clock is not this one's.
    pub is_restored: bool,
    /// How often the finding came back while the incident was recovering.
    pub flaps: u32,
    /// Whether it was acknowledged since it was last stored.
    is_unsaved: bool,
}

impl OpenIncident {
    /// Opens an incident.
    pub fn new(incident: Incident, is_announced: bool) -> Self {
        Self {
            incident: Incident { state: IncidentState::Firing, ..incident },
            state: OpenState::Firing { undetermined_since: None },
            is_announced,
            is_restored: false,
            flaps: 0,
            is_unsaved: false,
        }
    }

    /// Goes on with an incident of an earlier run; returns nothing if it is not open.
    pub fn resume(incident: Incident, rule: &Rule) -> Option<Self> {
        let state = match incident.state {
            IncidentState::Firing => OpenState::Firing { undetermined_since: None },
            IncidentState::Recovering => OpenState::Recovering(Recovery::Interrupted),
            IncidentState::Unknown => OpenState::Unknown,
            IncidentState::Pending | IncidentState::Resolved => return None,
        };
        Some(Self {
            is_announced: is_notified(rule, incident.kind, incident.severity),
            incident,
            state,
            is_restored: true,
            flaps: 0,
            is_unsaved: false,
        })
    }

    /// Returns the incident as it is shown and stored.
    pub fn incident(&self) -> &Incident {
        &self.incident
    }

    /// Records that the person knows of it; returns it.
    pub fn acknowledge(&mut self, now: Timestamp) -> &Incident {
        self.incident.acknowledged.get_or_insert(now);
        self.is_unsaved = true;
        &self.incident
    }

    /// Returns whether it was acknowledged since the last call.
    pub fn take_unsaved(&mut self) -> bool {
        std::mem::take(&mut self.is_unsaved)
    }

    /// Forgets for how long anything has lasted: the machine slept in between.
    pub fn interrupt(&mut self) {
        self.state = self.state.interrupt();
    }

    /// Takes one assessment into account; `clear_time` is how long the finding must stay absent.
    pub fn step(
        &mut self,
        presence: Presence,
        clear_time: Millis,
        patience: Millis,
        now: Moment,
    ) -> OpenStep {
        let before = self.state.shown();
        self.state = self.state.next(presence, patience, now);
        if self.state.is_cleared(clear_time, now) {
            self.show(IncidentState::Resolved, now);
            return OpenStep::Resolved;
        }
        let after = self.state.shown();
        if after == before {
            return OpenStep::Unchanged;
        }
        if before == IncidentState::Recovering && after == IncidentState::Firing {
            self.flaps = self.flaps.saturating_add(1);
        }
        self.show(after, now);
        OpenStep::Changed
    }

    fn show(&mut self, state: IncidentState, now: Moment) {
        self.incident.state = state;
        self.incident.changed = now;
    }
}

/// Returns true if the person is notified of an incident.
///
/// What a VPN provider does for its customers on purpose is recorded only.
pub(super) fn is_notified(rule: &Rule, kind: FindingKind, severity: Severity) -> bool {
    let is_on_purpose = kind == FindingKind::DnsInterception && severity == Severity::Information;
    rule.notify && !is_on_purpose
}
