//! Judges, hands over what changed for storing, publishes the snapshot and announces the verdict.

use super::{publisher::SnapshotContent, state::Actor};
use crate::{
    expected_tunnel, home,
    storage::{LedgerChange, Setting},
};
use sentinel_judge::Assessment;
use sentinel_model::{
    Announcement, Connectivity, Moment, Schedule, ShownState, StorageView, SwarmView, Timestamp,
};

impl Actor {
    /// Draws the conclusions from what this step of the loop took in.
    pub(super) async fn assess(&mut self) {
        let now = self.now();
        let swarm = self.swarm.view().borrow().clone();
        self.judge.update_nodes(&swarm.nodes);
        self.adopt_announced_home(&swarm.nodes);
        let assessment = self.judge.assess(now);
        if assessment.remeasure {
            self.measuring.rounds.note_suspicion();
            self.cadence.request_burst(now.boot);
        }
        if self.judge.awaits_sockets() {
            self.cadence.request_sockets(now.boot);
        }
        self.record_tunnel(&assessment.shown);
        self.expect_tunnel(&assessment.shown);
        self.commit(&assessment);
        self.recorder.record_facts(&assessment.shown, now.wall);
        let has_portal_opened = self.has_portal_opened(&assessment.shown);
        self.publish_if_due(assessment.shown, swarm, now);
        self.announce_if_due(now, false).await;
        if has_portal_opened {
            self.begin_epoch().await;
        }
    }

    /// Returns true if a captive portal has just let this machine through.
    ///
    /// That changes the network as much as a new address does: what resolvers and services answered
    /// behind the portal, or are about to, was the portal's.
    fn has_portal_opened(&self, shown: &ShownState) -> bool {
        let before = self.publisher.current().shown.connectivity;
        before == Connectivity::Portal && shown.connectivity == Connectivity::Online
    }

    /// Hands incidents that changed over for storing, together with their notices.
    fn commit(&self, assessment: &Assessment) {
        let Assessment { changed, notices, .. } = assessment;
        if !changed.is_empty() || !notices.is_empty() {
            let incidents = changed.iter().cloned().map(LedgerChange::Incident);
            let notices = notices.iter().cloned().map(LedgerChange::Notice);
            self.ledger.enqueue(incidents.chain(notices));
        }
    }

    /// Records that a tunnel has been in use, so that its absence after a restart counts as a loss.
    ///
    /// What looks like a tunnel may be the access line, so it counts once a voice sees this machine
    /// at an address that is not home.
    fn record_tunnel(&mut self, shown: &ShownState) {
        let is_up = shown.tunnel.as_ref().is_some_and(|tunnel| tunnel.up);
        let in_use = is_up && shown.exits.iter().any(|exit| exit.is_home == Some(false));
        if in_use && !self.tunnel_recorded {
            self.tunnel_recorded = true;
            self.ledger.enqueue([LedgerChange::Setting(Setting::TunnelKnown(true))]);
        }
    }

    /// Keeps the program's own lookups inside the tunnel that is expected.
    fn expect_tunnel(&self, shown: &ShownState) {
        let stated = &self.judge.policy().expectation;
        let tunnel = expected_tunnel::derive(stated, self.tunnel_recorded, shown.tunnel.as_ref());
        self.resolver.expect_tunnel(tunnel);
    }

    fn publish_if_due(&mut self, shown: ShownState, swarm: SwarmView, now: Moment) {
        let storage = self.storage_view();
        if self.measuring.just_ended.is_some() || self.publisher.is_due(&shown, &swarm, &storage, now.boot) {
            self.publisher.publish(SnapshotContent {
                at: now,
                offset: self.judge.policy().offset,
                epoch: self.network.epoch,
                shown,
                swarm,
                schedule: self.schedule(now),
                storage,
            });
        }
    }

    /// Returns what is not stored yet, measurements that were dropped included.
    fn storage_view(&self) -> StorageView {
        let view = self.ledger.view();
        StorageView { dropped: view.dropped.saturating_add(self.recorder.dropped()), ..view }
    }

    fn schedule(&self, now: Moment) -> Schedule {
        let wait = self.cadence.round.due().since(now.boot);
        let next = i64::try_from(wait.0).ok().map(|wait| Timestamp(now.wall.0.saturating_add(wait)));
        let last_round = self.measuring.last_round;
        Schedule {
            last_round: last_round.map(|(at, _)| at),
            last_round_took: last_round.map(|(_, took)| took),
            next_round: next.filter(|_| !self.cadence.is_paused()),
            round_every: self.config.cadence.round.0,
            beacon_every: self.config.cadence.beacon.0,
            paused: self.cadence.pause(now),
        }
    }

    /// Announces this node's state to the others when it changes, and as a heartbeat.
    ///
    /// `leaving` is true for the last announcement before a shutdown.
    pub(super) async fn announce_if_due(&mut self, now: Moment, leaving: bool) {
        let current = self.publisher.current();
        let shown = &current.shown;
        let announcement = Announcement {
            verdict: shown.verdict.verdict,
            since: shown.verdict.since,
            open_incidents: u32::try_from(shown.incidents.len()).unwrap_or(u32::MAX),
            leaving,
            home_exit: home::exit_to_announce(self.config.role, shown),
            at: now.wall,
        };
        if self.announcer.is_due(&announcement, now.boot) {
            self.swarm.announce(announcement.clone()).await;
            self.announcer.record(announcement, now.boot);
        }
    }
}
