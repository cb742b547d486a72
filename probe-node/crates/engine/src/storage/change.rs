//! Changes of the ledger, and when a later one replaces an earlier one.

use sentinel_model::{Home, Incident, IncidentId, NodeId, Notice, NoticeKind};
use std::{collections::BTreeMap, mem::discriminant, net::IpAddr};

/// Identifies a notice, whether or not it is stored yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeId {
    incident: IncidentId,
    kind: NoticeKind,
}

impl From<&Notice> for NoticeId {
    fn from(notice: &Notice) -> Self {
        Self { incident: notice.incident.clone(), kind: notice.kind }
    }
}

/// A change of the ledger that waits to be stored.
#[derive(Clone, Debug)]
pub(crate) enum LedgerChange {
    /// The new state of an incident.
    Incident(Incident),
    /// A notice for the outbox.
    Notice(Notice),
    /// A channel has delivered a notice.
    Delivery(Delivery),
    /// An entry of the membership log.
    Membership(Vec<u8>),
    /// A new value of a setting.
    Setting(Setting),
}

/// A notice that a channel has delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// The channel.
    pub(crate) channel: String,
    /// The notice.
    pub(crate) notice: NoticeId,
}

/// A setting with its new value.
#[derive(Clone, Debug)]
pub(crate) enum Setting {
    /// The home line that was learned or typed.
    Home(Home),
    /// The addresses that each node on the home line announced.
    HomeAnnounced(BTreeMap<NodeId, Vec<IpAddr>>),
    /// Whether a tunnel has been in use.
    TunnelKnown(bool),
}

impl LedgerChange {
    /// Returns true if storing this change makes storing `earlier` unnecessary.
    pub(crate) fn replaces(&self, earlier: &Self) -> bool {
        match (self, earlier) {
            (Self::Incident(new), Self::Incident(old)) => new.id == old.id,
            (Self::Setting(new), Self::Setting(old)) => discriminant(new) == discriminant(old),
            _ => false,
        }
    }

    /// Returns true if `earlier` already is this change, so that this one adds nothing.
    pub(crate) fn repeats(&self, earlier: &Self) -> bool {
        match (self, earlier) {
            (Self::Notice(new), Self::Notice(old)) => NoticeId::from(new) == NoticeId::from(old),
            (Self::Delivery(new), Self::Delivery(old)) => new == old,
            (Self::Membership(new), Self::Membership(old)) => new == old,
            _ => false,
        }
    }

    /// Returns how much is lost if this change is given up. The least is given up first.
    ///
    /// - A lost delivery means that a notice is delivered again.
    /// - A lost membership entry is fetched again after a restart.
    /// - A lost incident that is over is missing from the history.
    pub(crate) fn importance(&self) -> u8 {
        match self {
            Self::Delivery(_) => 0,
            Self::Membership(_) => 1,
            Self::Incident(incident) if !incident.state.is_open() => 2,
            Self::Notice(_) => 3,
            Self::Incident(_) | Self::Setting(_) => 4,
        }
    }
}
